// SPDX-License-Identifier: GPL-2.0

//! The plot: a bar for each row, as long as the Rust modules' part of what the C modules take.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::results::Row;

/// The height of a bar with its surroundings, and of what is above and below all bars, in pixels.
const HEIGHT: u32 = 22;
const FRAME: u32 = 80;

/// The width of the picture, and of what is left of the bars.
const WIDTH: u32 = 960;
const LABELS: u32 = 430;

const NOT_WORSE: RGBColor = RGBColor(60, 140, 90);
const WORSE: RGBColor = RGBColor(190, 90, 60);

/// Longer bars end here.
const MOST: f64 = 1.5;

/// Writes the plot to a file.
pub fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let bars: Vec<(&str, f64)> = rows
        .iter()
        .filter_map(|row| Some((row.what.as_str(), row.ratio()?)))
        .collect();

    let mut picture = String::from("<!-- SPDX-License-Identifier: GPL-2.0 -->\n");

    draw(&mut picture, &bars).map_err(|error| anyhow::anyhow!("{error}"))?;
    fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))
}

fn draw(picture: &mut String, bars: &[(&str, f64)]) -> Result<(), Box<dyn std::error::Error>> {
    let count = u32::try_from(bars.len())?;
    let mut drawn = String::new();
    let size = (WIDTH, FRAME + count * HEIGHT);
    let root = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
    let title = "instructions, as a part of what the C modules take";

    root.fill(&WHITE)?;
    // The first row is on top.
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .margin_left(LABELS)
        .x_label_area_size(25)
        .build_cartesian_2d(0.0..MOST, f64::from(count)..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&|value| format!("{value:.2}"))
        .draw()?;
    for ((what, ratio), at) in bars.iter().zip(0u32..) {
        let top = f64::from(at);
        let color = if *ratio <= 1.005 { NOT_WORSE } else { WORSE };
        let bar = Rectangle::new(
            [(0.0, top + 0.2), (ratio.min(MOST), top + 0.8)],
            color.filled(),
        );
        let anchor = Pos::new(HPos::Right, VPos::Center);
        let style = ("sans-serif", 13)
            .into_font()
            .into_text_style(&root)
            .pos(anchor);
        let (_, y) = chart.backend_coord(&(0.0, top + 0.5));

        chart.draw_series([bar])?;
        root.draw(&Text::new(*what, (LABELS as i32 - 8, y), style))?;
    }
    let whole = vec![(1.0, 0.0), (1.0, f64::from(count))];
    chart.draw_series([PathElement::new(whole, BLACK)])?;
    root.present()?;
    drop(chart);
    drop(root);
    picture.push_str(&drawn);
    Ok(())
}
