// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plots of recorded results: for each case what a unit costs against how many are in flight, or of
//! what else a series has more and more; a line for each backend, as SVG and as PNG. Where it is of interest also what comes
//! out of it: calls, or bytes, by time or by instructions.

mod chart;

use std::{
    fs,
    path::{Path, PathBuf},
};

use plotters::style::{FontStyle, register_font};
use serde_json::Value;

use crate::error::Error;
use chart::Chart;

/// Draws all that these files of JSON lines have into a directory, and says which files it made.
///
/// # Errors
///
/// What is wrong with a file; that there is nothing to be drawn.
pub(crate) fn run(files: &[PathBuf], directory: &Path) -> Result<(), Error> {
    let mut charts = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).map_err(|error| Error::File(file.clone(), error))?;
        for (number, line) in (1..).zip(text.lines()) {
            let value = serde_json::from_str(line).map_err(|error| Error::Line {
                file: file.clone(),
                number,
                error,
            })?;
            add(&mut charts, &value);
        }
    }
    // Of one point there is no line.
    charts.retain(|chart| chart.places().len() > 1);
    if charts.is_empty() {
        return Err(Error::NothingToDraw);
    }
    fs::create_dir_all(directory).map_err(|error| Error::File(directory.to_owned(), error))?;
    register_font(
        "sans-serif",
        FontStyle::Normal,
        epaint_default_fonts::UBUNTU_LIGHT,
    )
    .map_err(|_| Error::Plot(directory.to_owned(), "the font cannot be used".into()))?;
    for chart in &charts {
        for path in chart.draw(directory)? {
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// Adds a line of the results, if it is a row that can be a point of a chart.
fn add(charts: &mut Vec<Chart>, row: &Value) {
    let text = |key: &str| row.get(key)?.as_str();
    let number = |key: &str| row.get(key)?.as_f64();
    let (Some(group), Some(case), Some(backend), Some(unit)) =
        (text("group"), text("case"), text("backend"), text("unit"))
    else {
        return;
    };
    let (Some(median), Some(low), Some(high)) = (number("median"), number("min"), number("max"))
    else {
        return;
    };
    let at = row.get("at").or(row.get("batch")).and_then(Value::as_u64);
    let Some(at) = at else { return };
    let costs = [low, median, high];
    let name = format!("{unit} for each unit");
    chart(charts, group, case, &name).add(backend, at, costs);
    if group == "scale" || case == "in-flight" {
        let (name, all) = throughput(unit, number("bytes"));
        let rates = costs.map(|cost| all / cost);
        chart(charts, group, &format!("{case}-throughput"), name).add(backend, at, rates);
    }
}

/// The chart of a case with this on its axis, which is made if there is none.
fn chart<'a>(charts: &'a mut Vec<Chart>, group: &str, case: &str, what: &str) -> &'a mut Chart {
    let mut found = charts.iter();
    let found = found.position(|chart| chart.is_of(group, case, what));
    let place = found.unwrap_or_else(|| {
        charts.push(Chart::new(group, case, what));
        charts.len() - 1
    });
    &mut charts[place]
}

/// What comes out of units that cost so much each, or of their bytes, and what of that a unit which costs 1 would be.
fn throughput(unit: &str, bytes: Option<f64>) -> (&'static str, f64) {
    match (unit, bytes) {
        ("ns", None) => ("thousand calls per second", 1e6),
        ("ns", Some(bytes)) => ("MB per second", bytes * 1e3),
        (_, None) => ("calls per million instructions", 1e6),
        (_, Some(bytes)) => ("bytes per instruction", bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"machine":{"kernel":"7.3"},"unit":"instructions"}
{"group":"micro","case":"nop","backend":"module","batch":1,"unit":"instructions","median":9.0,"min":8.0,"max":12.0}
{"group":"micro","case":"nop","backend":"module","batch":64,"unit":"instructions","median":5.0,"min":5.0,"max":5.0}
{"group":"micro","case":"nop","backend":"io_uring","batch":64,"unit":"instructions","median":4.0,"min":4.0,"max":4.0}
{"group":"flat","case":"waiting","backend":"module","batch":64,"at":0,"unit":"instructions","median":5.0,"min":5.0,"max":5.0}
{"group":"scale","case":"pread-bytes","backend":"direct","batch":64,"at":512,"bytes":512,"unit":"ns","median":256.0,"min":128.0,"max":512.0}
{"group":"flat","case":"waiting","backend":"module","unit":"percent","over_lowest":3.0}
"#;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("flexsc-plot-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_chart_is_drawn_as_svg_and_as_png() {
        let directory = scratch("draw");
        let file = directory.join("results.jsonl");
        fs::write(&file, LINES).unwrap();
        run(&[file], &directory).unwrap();
        let svg = fs::read_to_string(directory.join("micro-nop.svg")).unwrap();
        for word in ["module", "io_uring", "instructions", "nop"] {
            assert!(svg.contains(word), "{word}");
        }
        let png = fs::read(directory.join("micro-nop.png")).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        // One point only.
        assert!(!directory.join("flat-waiting.svg").exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn rows_come_into_the_chart_of_their_case() {
        let mut charts = Vec::new();
        for line in LINES.lines() {
            add(&mut charts, &serde_json::from_str(line).unwrap());
        }
        assert_eq!(charts.len(), 4);
        assert_eq!(charts[0].places(), [1, 64]);
        assert_eq!(charts[1].places(), [0]);
        assert!(charts[3].is_of("scale", "pread-bytes-throughput", "MB per second"));
        assert_eq!(charts[3].highest(), 4000.0);
    }

    #[test]
    fn a_file_without_series_is_an_error() {
        let directory = scratch("nothing");
        let file = directory.join("results.jsonl");
        fs::write(&file, "{\"machine\":{}}\n").unwrap();
        assert!(matches!(
            run(&[file], &directory),
            Err(Error::NothingToDraw)
        ));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_line_that_is_no_json_is_told_by_its_number() {
        let directory = scratch("line");
        let file = directory.join("results.jsonl");
        fs::write(&file, "{\"machine\":{}}\nx\n").unwrap();
        let error = run(&[file], &directory).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        fs::remove_dir_all(directory).unwrap();
    }
}
