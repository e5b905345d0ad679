//! JSON as the files of the vectors are laid out.

pub(crate) use duohuo_wire::show::Value as J;

const WIDTH: usize = 110;

/// Two spaces a level; what fits one line stands on one line.
pub(crate) fn pretty(value: &J) -> String {
    let mut out = String::new();
    write(value, &mut out, 0);
    out.push('\n');
    out
}

fn write(value: &J, out: &mut String, depth: usize) {
    let flat = value.to_string();
    let column = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
    if column + flat.len() < WIDTH && depth > 0 {
        out.push_str(&flat);
        return;
    }
    match value {
        J::List(items) => lines(out, depth, ['[', ']'], items.iter().map(|item| ("", item))),
        J::Object(pairs) => lines(out, depth, ['{', '}'], pairs.iter().map(|(key, value)| (*key, value))),
        _ => out.push_str(&flat),
    }
}

fn lines<'a>(
    out: &mut String,
    depth: usize,
    brackets: [char; 2],
    items: impl Iterator<Item = (&'a str, &'a J)>,
) {
    out.push(brackets[0]);
    for (index, (key, value)) in items.enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        if !key.is_empty() {
            out.push_str(&format!("\"{key}\": "));
        }
        write(value, out, depth + 1);
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push(brackets[1]);
}

macro_rules! obj {
    ($($key:literal: $value:expr),* $(,)?) => {
        $crate::files::json::J::Object(vec![$(($key, $value)),*])
    };
}
pub(crate) use obj;
