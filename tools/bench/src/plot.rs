//! `duohuo-bench plot`: what a measurement printed, as a picture of how its cost grows.

use clap::Args;
use plotters::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Of a row of two charts.
const SIZE: (u32, u32) = (860, 380);
const COLOURS: [RGBColor; 4] = [BLUE, RED, RGBColor(0, 128, 0), RGBColor(128, 128, 128)];

/// Options of `plot`.
#[derive(Args)]
pub(crate) struct Options {
    /// What `duohuo-bench chain --json` or `authority --json` printed.
    from: PathBuf,
    /// The picture, SVG.
    to: PathBuf,
}

/// One picture of a row.
struct Chart {
    name: &'static str,
    across: &'static str,
    /// Each step to the right is a doubling.
    doubles: bool,
    lines: Vec<(&'static str, Vec<(f64, f64)>)>,
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
    let charts = charts(&report);
    if charts.is_empty() || charts.iter().flat_map(|c| &c.lines).any(|(_, points)| points.len() < 2) {
        let why = "no growth in it; expected what `chain --json` or `authority --json` printed";
        return Err(named(from, &why));
    }
    paint(&charts, to).map_err(|e| named(to, &e))
}

/// What a report says of growth.
fn charts(report: &Value) -> Vec<Chart> {
    let series = |list: &str, across: &str, up: &str| -> Vec<(f64, f64)> {
        let points = report.get(list).and_then(Value::as_array).into_iter().flatten();
        let point = |p: &Value| Some((p.get(across)?.as_f64()?, p.pointer(up)?.as_f64()?));
        points.filter_map(point).collect()
    };
    match report.get("measurement").and_then(Value::as_str) {
        Some("authority") => {
            let costs = |list, across| {
                vec![
                    ("authority, answer sent", series(list, across, "/authority_sent_ns/median")),
                    ("bare limit, answer sent", series(list, across, "/bare_sent_ns/median")),
                    ("authority", series(list, across, "/authority_ns/median")),
                    ("bare limit", series(list, across, "/bare_answered_ns/median")),
                ]
            };
            let chart = |name, across, lines| Chart { name, across, doubles: true, lines };
            vec![
                chart("ns for each keepalive", "masters", costs("keepalives", "masters")),
                chart(
                    "ns for each keepalive, 4,096 masters",
                    "waiting when the loop wakes",
                    costs("rates", "waiting"),
                ),
            ]
        }
        _ => {
            let chart = |name, lines| Chart { name, across: "clusters", doubles: false, lines };
            let core = |up| vec![("", series("growth", "clusters", up))];
            let networks = |up: &str| {
                let of = |nodes: u64| {
                    let points =
                        report.get("growth_of_networks").and_then(Value::as_array).into_iter().flatten();
                    let of_size =
                        points.filter(|p| p.get("nodes_a_cluster").and_then(Value::as_u64) == Some(nodes));
                    let point = |p: &Value| Some((p.get("clusters")?.as_f64()?, p.pointer(up)?.as_f64()?));
                    of_size.filter_map(point).collect()
                };
                vec![("1 node a cluster", of(1)), ("3 nodes a cluster", of(3))]
            };
            let all = vec![
                chart(
                    "processor for each height and cluster, microseconds",
                    core("/us_a_height_and_cluster"),
                ),
                chart("messages a height, all clusters together", core("/messages_a_height")),
                chart("networks of processes: blocks a second", networks("/load/blocks_a_second")),
                chart(
                    "networks: processor for each height and cluster, milliseconds",
                    networks("/processor_ms_a_height_and_cluster"),
                ),
            ];
            // What was not measured is not drawn.
            all.into_iter().filter(|chart| chart.lines.iter().any(|(_, points)| !points.is_empty())).collect()
        }
    }
}

fn paint(charts: &[Chart], to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let rows = charts.len().div_ceil(2);
    let size = (SIZE.0, SIZE.1 * u32::try_from(rows)?);
    let root = SVGBackend::new(to, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, chart) in root.split_evenly((rows, 2)).iter().zip(charts) {
        let place = |x: f64| if chart.doubles { x.log2() } else { x };
        let points = || chart.lines.iter().flat_map(|(_, points)| points);
        let top = points().map(|(_, y)| *y).fold(0.0, f64::max) * 1.1;
        let first = points().map(|(x, _)| place(*x)).fold(f64::MAX, f64::min) - 1.0;
        let last = points().map(|(x, _)| place(*x)).fold(0.0, f64::max) + 1.0;
        let label = |x: &f64| {
            let x = if chart.doubles { x.exp2() } else { *x };
            if x < 1.0 { String::new() } else { format!("{x:.0}") }
        };
        let mut plane = ChartBuilder::on(area)
            .caption(chart.name, ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(first..last, 0.0..top)?;
        plane
            .configure_mesh()
            .x_desc(chart.across)
            .x_labels(if chart.doubles { 8 } else { 15 })
            .x_label_formatter(&label)
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(WHITE)
            .draw()?;
        for ((name, points), colour) in chart.lines.iter().zip(COLOURS) {
            let placed: Vec<(f64, f64)> = points.iter().map(|(x, y)| (place(*x), *y)).collect();
            plane.draw_series(placed.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
            let line = plane.draw_series(LineSeries::new(placed, &colour))?;
            if !name.is_empty() {
                let key = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour);
                line.label(*name).legend(key);
            }
        }
        if chart.lines.len() > 1 {
            // Where the lines are not.
            let falls = chart.lines.iter().any(|(_, points)| {
                points.first().zip(points.last()).is_some_and(|((_, first), (_, last))| last < first)
            });
            let corner =
                if falls { SeriesLabelPosition::UpperRight } else { SeriesLabelPosition::LowerRight };
            plane.configure_series_labels().position(corner).background_style(WHITE.mix(0.8)).draw()?;
        }
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(report: &Value) -> Result<String, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let (from, to) = (directory.path().join("m.json"), directory.path().join("m.svg"));
        std::fs::write(&from, report.to_string()).expect("written");
        draw(&from, &to)?;
        Ok(std::fs::read_to_string(&to).expect("there"))
    }

    #[test]
    fn a_measurement_becomes_a_picture_and_anything_else_is_refused() {
        let point = |n: u32| serde_json::json!({ "clusters": n, "us_a_height_and_cluster": n * 9, "messages_a_height": n * n });
        let picture = drawn(&serde_json::json!({ "growth": [point(4), point(16)] })).expect("drawn");
        assert!(picture.starts_with("<svg") && picture.matches("<circle").count() == 4, "{picture}");
        assert!(drawn(&serde_json::json!({})).expect_err("no growth").contains("no growth in it"));
        assert!(drawn(&serde_json::json!({ "growth": [point(4)] })).is_err(), "a point is no growth");
    }

    #[test]
    fn networks_are_drawn_by_their_size_beside_the_core_or_alone() {
        let network = |clusters: u32, nodes: u32| {
            serde_json::json!({
                "clusters": clusters, "nodes_a_cluster": nodes,
                "load": { "blocks_a_second": 900 / clusters }, "processor_ms_a_height_and_cluster": clusters,
            })
        };
        let networks = [network(4, 1), network(4, 3), network(16, 1), network(16, 3)];
        let picture =
            drawn(&serde_json::json!({ "growth": [], "growth_of_networks": networks })).expect("drawn");
        assert_eq!(picture.matches("<circle").count(), 8);
        assert!(picture.contains("3 nodes a cluster") && !picture.contains("messages a height"), "{picture}");
        let point = |n: u32| serde_json::json!({ "clusters": n, "us_a_height_and_cluster": n, "messages_a_height": n });
        let both = serde_json::json!({ "growth": [point(4), point(16)], "growth_of_networks": networks });
        assert_eq!(drawn(&both).expect("drawn").matches("<circle").count(), 12);
    }

    #[test]
    fn the_authority_is_drawn_beside_the_bare_limit_over_masters_and_rates() {
        let ns = serde_json::json!({ "median": 900 });
        let point = |n: u32| serde_json::json!({ "masters": n, "waiting": n, "authority_ns": ns, "authority_sent_ns": ns, "bare_answered_ns": ns, "bare_sent_ns": ns });
        let points = [point(64), point(4096)];
        let report = serde_json::json!({ "measurement": "authority", "keepalives": points, "rates": points });
        let picture = drawn(&report).expect("drawn");
        assert_eq!(picture.matches("<circle").count(), 16);
        assert!(picture.contains("4096") && picture.contains("bare limit, answer sent"), "{picture}");
    }
}
