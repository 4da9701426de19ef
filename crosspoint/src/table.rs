//! Quiet tables: a dim line of headings, columns two spaces apart, no frames.

use comfy_table::{CellAlignment, presets};

use crate::terminal::{Paint, Style};

/// A column's heading and the side its cells keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// Text.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// Lays out rows under headings; every row has a cell for every column. Lines end in a line break and not in spaces.
pub(crate) fn render(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>, paint: Paint) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(presets::NOTHING).set_header(columns.iter().map(Column::heading));
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>()));
    for (layout, column) in table.column_iter_mut().zip(columns) {
        layout.set_padding((0, 2)).set_cell_alignment(column.alignment());
    }
    let mut lines = String::new();
    for (number, line) in table.lines().enumerate() {
        let line = line.trim_end();
        lines.push_str(&if number == 0 { paint.paint(Style::Dim, line) } else { line.to_owned() });
        lines.push('\n');
    }
    lines
}

/// What comes from other processes must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Column {
    fn heading(&self) -> &'static str {
        match self {
            Self::Left(heading) | Self::Right(heading) => heading,
        }
    }

    fn alignment(self) -> CellAlignment {
        match self {
            Self::Left(_) => CellAlignment::Left,
            Self::Right(_) => CellAlignment::Right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_have_no_tail() {
        let columns = [Column::Left("NODE"), Column::Right("SLOTS"), Column::Left("STATE")];
        let rows = [["on-prem-1", "1/3", "serving"], ["x", "10/300", "\x1b[2J"]];
        let table = render(&columns, rows.map(|row| row.map(str::to_owned).to_vec()), Paint::Plain);
        assert_eq!(table, "NODE        SLOTS  STATE\non-prem-1     1/3  serving\nx          10/300   [2J\n");
    }
}
