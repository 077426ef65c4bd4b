//! The part of the environment that is written in Python.
//!
//! Only the pieces a source needs are put behind it, because each piece is compiled with it and executed in every run.

use std::collections::HashSet;

use crate::rewrite::{PYTHON_MODULES, Rewritten};

/// A piece of Python.
struct Piece {
    /// Names that call for it: names a source uses, or names the rewriting puts (these begin with `_weir`).
    names: &'static [&'static str],
    /// Names it uses itself.
    needs: &'static [&'static str],
    source: &'static str,
}

/// The pieces. One comes behind those it needs while it is executed.
const PIECES: &[Piece] = &[
    Piece { names: &["_weir_rows"], needs: &[], source: include_str!("prelude/rows.py") },
    Piece { names: &["_weir_set"], needs: &["_weir_rows"], source: include_str!("prelude/set.py") },
    Piece { names: &["_weir_str"], needs: &[], source: include_str!("prelude/str.py") },
    Piece { names: &["_weir_del"], needs: &[], source: include_str!("prelude/del.py") },
    Piece { names: &["_weir_save"], needs: &[], source: include_str!("prelude/save.py") },
    Piece { names: &["_weir_translate"], needs: &[], source: include_str!("prelude/translate.py") },
    Piece {
        names: &["_weir_bytes", "_weir_bit_length", "_weir_to_bytes", "_weir_from_bytes"],
        needs: &[],
        source: include_str!("prelude/bytes.py"),
    },
    Piece {
        names: &[
            "_weir_e_DoesNotExist",
            "_weir_e_MultipleObjectsReturned",
            "_weir_e_RequestException",
            "_weir_e_Timeout",
            "_weir_m_requests_exceptions",
        ],
        needs: &[],
        source: include_str!("prelude/exceptions.py"),
    },
    Piece { names: &["_weir_from"], needs: &[], source: include_str!("prelude/from.py") },
    Piece { names: &["_weir_final"], needs: &[], source: include_str!("prelude/final.py") },
    Piece { names: &["regex_match", "regex_replace"], needs: &[], source: include_str!("prelude/regex.py") },
    Piece { names: &["list_flatten", "slugify"], needs: &[], source: include_str!("prelude/text.py") },
    Piece { names: &["SkipObject"], needs: &[], source: include_str!("prelude/skip.py") },
    Piece { names: &["ip_address", "ip_network"], needs: &[], source: include_str!("prelude/ip.py") },
    Piece { names: &["_weir_order"], needs: &["ip_address"], source: include_str!("prelude/order.py") },
    Piece { names: &["_weir_class_q"], needs: &[], source: include_str!("prelude/m_q.py") },
    Piece { names: &["_weir_now", "_weir_m_timezone"], needs: &[], source: include_str!("prelude/now.py") },
    Piece { names: &["_weir_m_hmac"], needs: &[], source: include_str!("prelude/m_hmac.py") },
    Piece { names: &["_weir_m_html"], needs: &[], source: include_str!("prelude/m_html.py") },
    Piece { names: &["_weir_m_ipaddress"], needs: &["ip_address"], source: include_str!("prelude/m_ipaddress.py") },
    Piece { names: &["_weir_m_logging"], needs: &[], source: include_str!("prelude/m_logging.py") },
    Piece { names: &["_weir_m_operator"], needs: &[], source: include_str!("prelude/m_operator.py") },
    Piece { names: &["_weir_m_secrets"], needs: &[], source: include_str!("prelude/m_secrets.py") },
    Piece { names: &["_weir_m_string"], needs: &[], source: include_str!("prelude/m_string.py") },
    Piece { names: &["_weir_m_textwrap"], needs: &[], source: include_str!("prelude/m_textwrap.py") },
    Piece { names: &["_weir_m_urllib_parse"], needs: &[], source: include_str!("prelude/m_urllib_parse.py") },
    Piece { names: &["_weir_m_urllib"], needs: &["_weir_m_urllib_parse"], source: include_str!("prelude/m_urllib.py") },
    Piece { names: &["_weir_m_uuid"], needs: &[], source: include_str!("prelude/m_uuid.py") },
];

/// Built-in functions through which a source can reach names that do not appear in it.
const REFLECTION: &[&str] = &["eval", "exec", "globals", "locals"];

/// The pieces a source needs, and those of the given names.
pub(crate) fn pieces(source: &Rewritten, names: &[&'static str]) -> String {
    let everything = source.names.iter().any(|name| REFLECTION.contains(&name.as_str()));
    let mut wanted: HashSet<&str> = names.iter().copied().collect();
    wanted.extend(source.helpers.iter().copied());
    wanted.extend(PYTHON_MODULES.iter().filter(|(name, _)| source.modules.contains(name)).map(|(_, class)| *class));
    wanted.extend(source.names.iter().map(String::as_str));
    // A piece stands behind what it needs, so one pass from the end finds everything.
    for piece in PIECES.iter().rev() {
        let is_public = piece.names.iter().any(|name| !name.starts_with('_'));
        if piece.names.iter().any(|name| wanted.contains(name)) || (everything && is_public) {
            wanted.extend(piece.names.iter().chain(piece.needs).copied());
        }
    }
    let mut text = String::new();
    for piece in PIECES.iter().filter(|piece| piece.names.iter().any(|name| wanted.contains(name))) {
        text.push_str(piece.source);
        text.push('\n');
    }
    text
}
