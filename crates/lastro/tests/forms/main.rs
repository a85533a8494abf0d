//! What depends on the form of the two services, tried on every form that has it: crashes and other
//! faults under load, contention, waiting across replicas, full disks, audits. Each test starts the
//! real programs.
//!
//! A test is an `async fn` that gets its form; `tried_on!` names the forms, and makes a test for
//! each:
//!
//! ```text
//! cargo test -p lastro --test forms replicas                       # one form
//! cargo test -p lastro --test forms crash:: -- --show-output       # some tests, with what they print
//! ```
//!
//! What does not depend on the form is in `tests/api`, and tried on one.
#![forbid(unsafe_code)]

/// Makes a test for each form from `async fn test(form: Form)`: `test::replicas`.
macro_rules! tried_on {
    (every form: $($test:ident)+) => {
        $(tried_on!(@each [] $test embedded broker processes postgres replicas);)+
    };
    (every form, on several threads: $($test:ident)+) => {
        $(tried_on!(@each [(flavor = "multi_thread")] $test
            embedded broker processes postgres replicas);)+
    };
    (forms with a broker: $($test:ident)+) => {
        $(tried_on!(@each [] $test broker processes postgres replicas);)+
    };
    (forms of separate services: $($test:ident)+) => {
        $(tried_on!(@each [] $test processes postgres replicas);)+
    };
    (forms with files: $($test:ident)+) => {
        $(tried_on!(@each [] $test embedded broker processes);)+
    };
    (forms with files, on several threads: $($test:ident)+) => {
        $(tried_on!(@each [(flavor = "multi_thread")] $test embedded broker processes);)+
    };
    (one process and two with files: $($test:ident)+) => {
        $(tried_on!(@each [] $test embedded processes);)+
    };
    (each engine with a broker: $($test:ident)+) => {
        $(tried_on!(@each [] $test broker postgres);)+
    };
    (each engine: $($test:ident)+) => {
        $(tried_on!(@each [] $test embedded postgres);)+
    };
    (@each $flavor:tt $test:ident $($form:ident)+) => {
        mod $test {
            $(tried_on!(@one $flavor $test $form);)+
        }
    };
    (@one [$($flavor:tt)?] $test:ident $form:ident) => {
        #[tokio::test $($flavor)?]
        async fn $form() {
            super::$test(tried_on!(@form $form)).await;
        }
    };
    (@form embedded) => { testbed::Form::Embedded };
    (@form broker) => { testbed::Form::Broker };
    (@form processes) => { testbed::Form::Processes };
    (@form postgres) => { testbed::Form::Postgres };
    (@form replicas) => { testbed::Form::Replicas };
}

mod api_table;
mod backups;
mod bench;
mod clean_stop;
mod contention;
mod crash;
mod damaged;
mod descriptions;
mod faults;
mod full_disk;
mod import;
mod largest;
mod log;
mod metric_names;
mod one_writer;
mod restored;
mod storm;
mod suite;
mod taken_away;
mod verify;
mod waiting;
mod watching;
