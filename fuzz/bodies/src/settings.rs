//! Any text as a settings file, the part behind a NUL as the users file; and as a message of the control
//! channel. What is taken must come out the same when it is written and read again.

use poolwright_settings::control::{Grants, Push};
use poolwright_settings::{generation, parse, server_caps, users_file};

pub fn run(bytes: &[u8]) {
    let (settings, users) = crate::split(bytes);
    let (Ok(settings), Ok(users)) = (str::from_utf8(settings), str::from_utf8(users)) else {
        return;
    };
    let _ = (users_file(settings), generation(settings), server_caps(settings));
    let _ = serde_json::from_str::<Push>(settings);
    let _ = serde_json::from_str::<Grants>(settings);
    let users = (!users.is_empty()).then_some(users);
    let Ok(checked) = parse(settings, users) else { return };
    let written = checked.to_yaml();
    let again = parse(&written, None);
    let again = again.unwrap_or_else(|problems| panic!("{problems}\n{written}"));
    assert_eq!(again.to_yaml(), written, "written twice, it differs");
}
