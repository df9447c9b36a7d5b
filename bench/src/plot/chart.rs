// SPDX-License-Identifier: MIT OR Apache-2.0
//! One chart.

use std::path::{Path, PathBuf};

use plotters::{
    coord::Shift,
    prelude::{
        BLACK, BitMapBackend, ChartBuilder, Circle, Color, DrawingArea, DrawingBackend,
        IntoDrawingArea, LineSeries, PathElement, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
    },
};

use crate::error::Error;

/// Width and height in pixels.
const SIZE: (u32, u32) = (820, 480);

/// Backends have the same colours in all charts.
const COLORS: [(&str, RGBColor); 7] = [
    ("direct", BLACK),
    ("module", RGBColor(200, 30, 40)),
    ("module-c", RGBColor(235, 130, 20)),
    ("io_uring", RGBColor(30, 90, 200)),
    ("sqpoll", RGBColor(100, 175, 235)),
    ("threads", RGBColor(140, 140, 140)),
    ("green", RGBColor(40, 150, 70)),
];

fn color(backend: &str) -> RGBColor {
    let found = COLORS.iter().find(|(name, _)| *name == backend);
    found.map_or(RGBColor(150, 70, 170), |&(_, color)| color)
}

/// What one case costs, or what comes out of it.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    group: String,
    case: String,
    /// What stands upwards.
    what: String,
    lines: Vec<Line>,
}

/// By one backend.
#[derive(Clone, Debug)]
struct Line {
    backend: String,
    points: Vec<Point>,
}

/// Lowest, median and highest where there are `at`.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: u64,
    values: [f64; 3],
}

impl Chart {
    pub(super) fn new(group: &str, case: &str, what: &str) -> Self {
        Self {
            group: group.to_owned(),
            case: case.to_owned(),
            what: what.to_owned(),
            lines: Vec::new(),
        }
    }

    pub(super) fn is_of(&self, group: &str, case: &str, what: &str) -> bool {
        (self.group.as_str(), self.case.as_str(), self.what.as_str()) == (group, case, what)
    }

    /// Adds a point: the median, and what lies on both sides of it, where there are `at`.
    pub(super) fn add(&mut self, backend: &str, at: u64, mut values: [f64; 3]) {
        values.sort_by(f64::total_cmp);
        let found = self.lines.iter().position(|line| line.backend == backend);
        let place = found.unwrap_or_else(|| {
            self.lines.push(Line {
                backend: backend.to_owned(),
                points: Vec::new(),
            });
            self.lines.len() - 1
        });
        self.lines[place].points.push(Point { at, values });
    }

    /// Where there are points, in order, each once.
    pub(super) fn places(&self) -> Vec<u64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let mut places: Vec<_> = points.map(|point| point.at).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The highest value that it has.
    pub(super) fn highest(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| &line.points);
        points.fold(0.0, |top: f64, point| top.max(point.values[2]))
    }

    /// Draws it into two files of this directory, and gives their names.
    ///
    /// # Errors
    ///
    /// [`Error::Plot`].
    pub(super) fn draw(&self, directory: &Path) -> Result<[PathBuf; 2], Error> {
        let name = |kind| directory.join(format!("{}-{}.{kind}", self.group, self.case));
        let (svg, png) = (name("svg"), name("png"));
        self.draw_on(SVGBackend::new(&svg, SIZE).into_drawing_area())
            .map_err(|why| Error::Plot(svg.clone(), why))?;
        self.draw_on(BitMapBackend::new(&png, SIZE).into_drawing_area())
            .map_err(|why| Error::Plot(png.clone(), why))?;
        Ok([svg, png])
    }

    fn draw_on<B: DrawingBackend>(&self, area: DrawingArea<B, Shift>) -> Result<(), String> {
        self.drawn(&area).map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())
    }

    fn drawn<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), plotters::drawing::DrawingAreaErrorKind<B::ErrorType>> {
        let places = self.places();
        // They grow by factors, so each is as far from the next as all are.
        let last = places.len() as i32 - 1;
        let column = |at: u64| places.iter().position(|&place| place == at).unwrap_or(0) as i32;
        let top = self.highest() * 1.3;
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{}, {}", self.group, self.case), ("sans-serif", 20))
            .margin(12)
            .margin_right(32)
            .x_label_area_size(48)
            .y_label_area_size(76)
            .build_cartesian_2d(0..last, 0.0..top.max(0.001))?;
        chart
            .configure_mesh()
            .x_labels(places.len())
            .light_line_style(WHITE.mix(0.0))
            .y_label_formatter(&f64::to_string)
            .x_label_formatter(&|column| {
                let place = usize::try_from(*column).ok().and_then(|at| places.get(at));
                place.map_or(String::new(), u64::to_string)
            })
            .x_desc(self.axis())
            .y_desc(self.what.as_str())
            .label_style(("sans-serif", 14))
            .draw()?;
        for line in &self.lines {
            let color = color(&line.backend);
            let mut points = line.points.clone();
            points.sort_by_key(|point| point.at);
            let medians = points
                .iter()
                .map(|point| (column(point.at), point.values[1]));
            chart
                .draw_series(LineSeries::new(medians.clone(), color.stroke_width(2)))?
                .label(line.backend.as_str())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2))
                });
            chart.draw_series(medians.map(|point| Circle::new(point, 3, color.filled())))?;
            // From the lowest to the highest.
            chart.draw_series(points.iter().map(|point| {
                let ([low, _, high], x) = (point.values, column(point.at));
                PathElement::new([(x, low), (x, high)], color)
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 14))
            .draw()
    }

    /// What there is more and more of.
    fn axis(&self) -> &'static str {
        match (self.group.as_str(), self.case.as_str()) {
            ("net", _) => "connections",
            ("flat", "waiting") => "entries that wait",
            ("flat", "contexts" | "idle") => "contexts",
            ("flat", "descriptors") => "open files",
            ("scale", "cpus" | "cpus-throughput") => "processors",
            ("scale", _) => "bytes",
            _ => "in flight at once",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Kind;

    #[test]
    fn each_backend_has_a_colour_of_its_own() {
        let mut colors: Vec<_> = Kind::ALL
            .iter()
            .map(|kind| color(kind.name()))
            .chain([color("another")])
            .map(|color| (color.0, color.1, color.2))
            .collect();
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), Kind::ALL.len() + 1);
    }
}
