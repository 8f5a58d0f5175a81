//! One picture (SVG) of a call: bars for each cell, the cost of a transaction for each subject.
//! Never draws a figure that is not in the results of the same call.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::result::Summary;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 250.0;
const BAR: f64 = 18.0;

/// Writes the picture beside the results.
pub fn write(results: &Path, summaries: &[Summary]) -> io::Result<PathBuf> {
    let path = results.with_extension("svg");
    std::fs::write(&path, picture(summaries))?;
    Ok(path)
}

fn picture(summaries: &[Summary]) -> String {
    let mut body = String::new();
    let mut y = 30.0;
    let mut rest = summaries;
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|summary| summary.cell == first.cell).count();
        let (cell, later) = rest.split_at(count);
        y = bars(&mut body, y, cell);
        rest = later;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// The bars of one cell under its name; where the next cell begins.
fn bars(body: &mut String, mut y: f64, cell: &[Summary]) -> f64 {
    let drawn: Vec<&Summary> = cell.iter().filter(|summary| summary.rounds > 0).collect();
    let by_cpu = drawn.iter().any(|summary| summary.cpu_us_per_tx.median > 0.0);
    let (unit, figure): (_, fn(&Summary) -> f64) = match by_cpu {
        true => ("CPU µs for each transaction", |summary| summary.cpu_us_per_tx.median),
        false => ("transactions per second", |summary| summary.tps.median),
    };
    let most = drawn.iter().map(|summary| figure(summary)).fold(0.0, f64::max);
    let name = cell.first().map_or("", |summary| &summary.cell);
    let _ = writeln!(body, "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{name}, {unit}</text>");
    y += 8.0;
    for summary in drawn.iter().filter(|summary| figure(summary) > 0.0) {
        bar(body, y, summary, figure(summary), most);
        y += BAR + 3.0;
    }
    y + 30.0
}

fn bar(body: &mut String, y: f64, summary: &Summary, value: f64, most: f64) {
    let width = value / most * (WIDTH - LEFT - 230.0);
    let colour = match (summary.is_comparable(), summary.subject.starts_with("poolwright")) {
        (false, _) => "#cccccc",
        (true, true) => "#2b6cb0",
        (true, false) => "#a0aec0",
    };
    let middle = y + BAR * 0.7;
    let mark = if summary.is_comparable() { "" } else { " (disturbed)" };
    let figures = format!("{value:.2}, {:.0} tps{mark}", summary.tps.median);
    let _ = writeln!(
        body,
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
         <text x=\"{:.1}\" y=\"{middle}\">{figures}</text>",
        LEFT - 8.0,
        summary.subject,
        LEFT + width + 6.0,
    );
}
