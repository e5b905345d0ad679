//! Two small plots as SVG: lines over the last minutes, and bars of phases. Classes only: the styles are in the style sheet.

use maud::{Markup, html};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 60.0;

/// A line over the last minutes, newest on the right; `most` places stand for the whole width.
pub(super) fn line(values: &[f64], most: usize, unit: &str) -> Markup {
    let top = values.iter().copied().fold(0.0, f64::max);
    let newest = values.last().copied().unwrap_or(0.0);
    let scale = if top > 0.0 { (HEIGHT - 4.0) / top } else { 0.0 };
    let step = WIDTH / position(most.max(2) - 1);
    let first = most.saturating_sub(values.len());
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(i, value)| format!("{:.1},{:.1}", position(first + i) * step, HEIGHT - 2.0 - value * scale))
        .collect();
    html! {
        svg class="plot" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width=(WIDTH) height=(HEIGHT) role="img" {
            title { "highest " (short(top)) " " (unit) ", newest " (short(newest)) " " (unit) }
            line class="floor" x1="0" y1=(HEIGHT - 2.0) x2=(WIDTH) y2=(HEIGHT - 2.0) {}
            polyline class="line" points=(points.join(" ")) {}
        }
        span class="legend" { "highest " (short(top)) " " (unit) ", newest " (short(newest)) " " (unit) }
    }
}

/// Phases of one switch as a bar; `whole` is the length of the longest bar on the page, in microseconds.
pub(super) fn phases(parts: &[(&'static str, u64)], whole: u64) -> Markup {
    let scale = WIDTH / micros(whole.max(1));
    let mut x = 0.0;
    let bars: Vec<_> = parts
        .iter()
        .map(|(name, us)| {
            let at = x;
            // a phase that took place is seen, however short
            let width = if *us == 0 { 0.0 } else { (micros(*us) * scale).max(2.0) };
            x += width;
            (*name, *us, at, width)
        })
        .collect();
    html! {
        svg class="phases" viewBox=(format!("0 0 {:.1} 14", WIDTH + 10.0)) width=(WIDTH + 10.0) height="14" role="img" {
            @for (name, us, at, width) in bars {
                rect class=(name) x=(format!("{at:.1}")) y="1" width=(format!("{width:.1}")) height="12" {
                    title { (name) " " (milliseconds(us)) }
                }
            }
        }
    }
}

/// "3.2 ms".
pub(super) fn milliseconds(us: u64) -> String {
    format!("{:.1} ms", micros(us) / 1000.0)
}

fn short(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Positions of a plot are few: exact in a float.
fn position(i: usize) -> f64 {
    u32::try_from(i).map_or(0.0, f64::from)
}

/// Microseconds that are drawn are fewer than an hour's: exact in a float.
pub(super) fn micros(us: u64) -> f64 {
    f64::from(u32::try_from(us).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_on_the_right_and_its_highest_value_is_at_the_top() {
        let svg = line(&[0.0, 10.0, 5.0], 4, "ms").into_string();
        assert!(svg.contains(r#"points="100.0,58.0 200.0,2.0 300.0,30.0""#), "{svg}");
        assert!(svg.contains("highest 10 ms, newest 5 ms"), "{svg}");
        assert!(line(&[], 300, "ms").into_string().contains(r#"points="""#));
        assert!(line(&[0.0; 300], 300, "ms").into_string().contains("highest 0 ms"));
    }

    #[test]
    fn a_bar_has_a_part_for_each_phase_in_its_proportion() {
        let svg = phases(&[("detect", 1000), ("ask", 0), ("fence", 3000)], 4000).into_string();
        assert!(svg.contains(r#"<rect class="detect" x="0.0" y="1" width="75.0""#), "{svg}");
        assert!(svg.contains(r#"<rect class="fence" x="75.0" y="1" width="225.0""#), "{svg}");
        assert!(svg.contains("fence 3.0 ms"), "{svg}");
    }
}
