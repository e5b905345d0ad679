//! JSON with its keys in the order they were given: what is written must not depend on anybody's features.

/// A value. Numbers of 64 bits are decimal text, since many readers keep only 53 bits of a number.
#[derive(Clone, Debug)]
pub(crate) enum J {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<J>),
    Object(Vec<(&'static str, J)>),
}

const WIDTH: usize = 110;

impl J {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(crate) fn hex(bytes: &[u8]) -> Self {
        Self::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Two spaces a level; what fits one line stands on one line.
    pub(crate) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        let flat = self.flat();
        let column = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
        if column + flat.len() < WIDTH && depth > 0 {
            out.push_str(&flat);
            return;
        }
        match self {
            Self::List(items) => Self::lines(out, depth, ['[', ']'], items.iter().map(|item| ("", item))),
            Self::Object(pairs) => {
                Self::lines(out, depth, ['{', '}'], pairs.iter().map(|(key, value)| (*key, value)));
            }
            _ => out.push_str(&flat),
        }
    }

    fn lines<'a>(
        out: &mut String,
        depth: usize,
        brackets: [char; 2],
        items: impl Iterator<Item = (&'a str, &'a Self)>,
    ) {
        out.push(brackets[0]);
        for (index, (key, value)) in items.enumerate() {
            out.push_str(if index == 0 { "\n" } else { ",\n" });
            out.push_str(&"  ".repeat(depth + 1));
            if !key.is_empty() {
                out.push_str(&format!("\"{key}\": "));
            }
            value.write(out, depth + 1);
        }
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
        out.push(brackets[1]);
    }

    fn flat(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::flat).collect::<Vec<_>>().join(", "))
            }
            Self::Object(pairs) if pairs.is_empty() => "{}".to_owned(),
            Self::Object(pairs) => {
                let pairs: Vec<_> =
                    pairs.iter().map(|(key, value)| format!("\"{key}\": {}", value.flat())).collect();
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    }
}

macro_rules! obj {
    ($($key:literal: $value:expr),* $(,)?) => {
        $crate::files::json::J::Object(vec![$(($key, $value)),*])
    };
}
pub(crate) use obj;
