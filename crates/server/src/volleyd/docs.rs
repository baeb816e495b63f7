//! docs/OPERATING.md. What stands there between two markers is written by the code, so that it
//! says what the code does.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

/// As it was when the tests were built.
pub(crate) const OPERATING: &str = include_str!("../../../../docs/OPERATING.md");

/// One test at a time may write.
static FILE: Mutex<()> = Mutex::new(());

/// Checks that `text` stands between `<!-- name -->` and `<!-- /name -->`; with `UPDATE_DOCS=1` in
/// the environment it is put there.
#[track_caller]
pub(crate) fn keep(name: &str, text: &str) {
    let _alone = FILE.lock().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OPERATING.md");
    let document = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let (before, rest) = document.split_once(&begin).unwrap();
    let (found, after) = rest.split_once(&end).unwrap();
    if env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(path, format!("{before}{begin}{text}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, text, "set UPDATE_DOCS=1 to have the code write it");
    }
}
