//! The picture of a comparison: a bar for the median of each series, and a line from the smallest to the
//! largest run.

use std::fmt::Write as _;

use crate::figures::{Series, count};
use crate::subject::Subject;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 46.0;
const ROW: f64 = 24.0;

/// Events per CPU-second of every series, as an SVG that reads on a bright and on a dark page.
pub fn efficiency(series: &[Series]) -> String {
    let most = series.iter().map(|series| series.spread(|cost| cost.effort.per_cpu_second()).most).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let height = TOP + ROW * series.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\" fill=\"#222222\">Events per CPU-second: the median, and from the least \
         to the most</text>\n"
    );
    for (row, series) in series.iter().enumerate() {
        let spread = series.spread(|cost| cost.effort.per_cpu_second());
        let (top, middle) = (TOP + ROW * row as f64, TOP + ROW * row as f64 + 8.0);
        let fill = if series.subject == Subject::Collector { "#1b6ca8" } else { "#8fb4cf" };
        let label = format!("{}, {}", series.subject.name(), series.transport);
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222222\">{label}</text>\n\
             <rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"16\" fill=\"{fill}\"/>\n\
             <line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\" stroke=\"#222222\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222222\">{}</text>\n",
            LEFT - 8.0,
            top + 12.0,
            spread.median * scale,
            LEFT + spread.least * scale,
            LEFT + spread.most * scale,
            LEFT + spread.most * scale + 6.0,
            top + 12.0,
            count(spread.median),
        );
    }
    svg.push_str("</svg>\n");
    svg
}
