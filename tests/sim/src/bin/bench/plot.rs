//! A plot with logarithmic axes, as SVG: a line that rises as steeply as the dashed ones grows in proportion.

use std::fmt::Write as _;

/// One line.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
/// What is left free at the left, top, right and bottom.
const AROUND: (f64, f64, f64, f64) = (60.0, 16.0, 250.0, 44.0);
const COLOURS: [&str; 5] = ["#c2410c", "#0369a1", "#15803d", "#7c3aed", "#525252"];

/// Draws lines over the number of members.
pub(crate) fn scale(all: &[Series]) -> String {
    let points = || all.iter().flat_map(|series| &series.points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(10.0, f64::max).log10().ceil();
    let (decades_x, decades_y) = (most(|point| point.0) - 2.0, most(|point| point.1));
    let (left, top, right, bottom) = AROUND;
    let x = |value: f64| left + (value.max(1.0).log10() - 2.0) / decades_x * (WIDTH - left - right);
    let y = |value: f64| HEIGHT - bottom - value.max(1.0).log10() / decades_y * (HEIGHT - top - bottom);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>What a sync costs, by the number of members; both axes are logarithmic</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = svg.write_fmt(text);
        svg.push('\n');
    };
    let (mut decade, end) = (0.0, decades_y);
    while decade <= end {
        let value = 10_f64.powf(decade);
        let (at, label) = (y(value), value);
        line(format_args!("<path d=\"M{left} {at:.1}H{:.1}\" stroke=\"#e5e5e5\"/>", WIDTH - right));
        line(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#525252\">{label}</text>",
            left - 8.0,
            at + 4.0
        ));
        // In proportion from there.
        let (from, to) = (x(100.0), x(100.0 * 10_f64.powf((end - decade).min(decades_x))));
        line(format_args!(
            "<path d=\"M{from:.1} {at:.1}L{to:.1} {:.1}\" stroke=\"#d4d4d4\" stroke-dasharray=\"3 4\"/>",
            y(value * 10_f64.powf((end - decade).min(decades_x)))
        ));
        decade += 1.0;
    }
    if let Some(longest) = all.iter().max_by_key(|series| series.points.len()) {
        for (members, _) in &longest.points {
            line(format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#525252\">{members}</text>",
                x(*members),
                HEIGHT - bottom + 18.0
            ));
        }
    }
    line(format_args!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#525252\">members</text>",
        f64::midpoint(left, WIDTH - right),
        HEIGHT - 8.0
    ));
    let mut ends: Vec<f64> = Vec::new();
    for (series, colour) in all.iter().zip(COLOURS) {
        let path: Vec<String> =
            series.points.iter().map(|point| format!("{:.1} {:.1}", x(point.0), y(point.1))).collect();
        line(format_args!("<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join("L")));
        for point in &series.points {
            line(format_args!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(point.0), y(point.1)));
        }
        if let Some(last) = series.points.last() {
            // Two ends that lie together have their names one below the other.
            let mut at = y(last.1) + 4.0;
            while ends.iter().any(|other| (other - at).abs() < 16.0) {
                at += 16.0;
            }
            ends.push(at);
            line(format_args!(
                "<text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{colour}\">{}</text>",
                x(last.0) + 8.0,
                series.name
            ));
        }
    }
    svg.push_str("</svg>\n");
    svg
}
