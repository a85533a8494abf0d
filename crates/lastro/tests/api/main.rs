//! Behaviour that does not depend on the form of the two services: the API and the command line,
//! tested on one form. Each test starts the real program, on a free port and in its own folder, and
//! sends HTTP requests.
//!
//! The form is one process with SQLite files, unless `LASTRO_TEST_FORM` names another. Behaviour
//! that depends on the form is in `tests/forms`.
#![forbid(unsafe_code)]

mod asyncapi;
mod browsers;
mod bus;
mod changes;
mod command_line;
mod connections;
mod docs;
mod feed;
mod hostile;
mod inventory;
mod keys;
mod operations;
mod operators;
mod orders;
mod payments;
mod returns;
mod secrets;
mod verify;

use testbed::{ANSWERS, COMMANDS, program_under_test};

#[test]
fn the_program_under_test_is_the_one_that_was_built_with_the_tests() {
    assert_eq!(program_under_test(), std::path::Path::new(env!("CARGO_BIN_EXE_lastro")));
}

#[test]
fn the_broker_is_watched_where_the_services_meet() {
    let channels = [contract::commands::COMMANDS_CHANNEL, contract::answers::ANSWERS_CHANNEL];
    // Unless the URL says otherwise, the first word of a subject is the channel `lastro`.
    assert_eq!([COMMANDS, ANSWERS], channels.map(|channel| format!("lastro.{channel}")));
}
