//! `duohuo-bench plot`: the growth of a measurement `chain`, as a picture.

use clap::Args;
use plotters::prelude::*;
use serde_json::Value;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const SIZE: (u32, u32) = (860, 380);
const CLUSTERS: Range<f64> = 3.0..17.0;

/// Options of `plot`.
#[derive(Args)]
pub(crate) struct Options {
    /// What `duohuo-bench chain --json` printed.
    from: PathBuf,
    /// The picture, SVG.
    to: PathBuf,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match draw(&options.from, &options.to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("duohuo-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn draw(from: &Path, to: &Path) -> Result<(), String> {
    let named = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let text = std::fs::read_to_string(from).map_err(|e| named(from, &e))?;
    let report: Value = serde_json::from_str(&text).map_err(|e| named(from, &e))?;
    let series = |key: &str| -> Vec<(f64, f64)> {
        let points = report.get("growth").and_then(Value::as_array).into_iter().flatten();
        points
            .filter_map(|point| Some((point.get("clusters")?.as_f64()?, point.get(key)?.as_f64()?)))
            .collect()
    };
    let charts = [
        ("processor for each height and cluster, microseconds", series("us_a_height_and_cluster")),
        ("messages a height, all clusters together", series("messages_a_height")),
    ];
    if charts.iter().any(|(_, points)| points.len() < 2) {
        return Err(named(from, &"no growth in it; expected what `chain --json` printed"));
    }
    paint(&charts, to).map_err(|e| named(to, &e))
}

fn paint(charts: &[(&str, Vec<(f64, f64)>)], to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(to, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (name, points)) in root.split_evenly((1, charts.len())).iter().zip(charts) {
        let top = points.iter().map(|(_, y)| *y).fold(0.0, f64::max) * 1.1;
        let mut chart = ChartBuilder::on(area)
            .caption(name, ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(CLUSTERS, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc("clusters")
            .x_labels(15)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(WHITE)
            .draw()?;
        chart.draw_series(LineSeries::new(points.iter().copied(), &BLUE))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, BLUE.filled())))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_becomes_a_picture_and_anything_else_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let (from, to) = (directory.path().join("m.json"), directory.path().join("m.svg"));
        let point = |n: u32| serde_json::json!({ "clusters": n, "us_a_height_and_cluster": n * 9, "messages_a_height": n * n });
        std::fs::write(&from, serde_json::json!({ "growth": [point(4), point(16)] }).to_string())
            .expect("written");
        draw(&from, &to).expect("drawn");
        let picture = std::fs::read_to_string(&to).expect("there");
        assert!(picture.starts_with("<svg") && picture.matches("<circle").count() == 4, "{picture}");
        std::fs::write(&from, "{}").expect("written");
        assert!(draw(&from, &to).expect_err("no growth").contains("no growth in it"));
    }
}
