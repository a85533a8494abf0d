use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn parse(words: &str) -> Result<Args, String> {
    let words = ["bench"].into_iter().chain(words.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.args).map_err(|error| error.to_string())
}

fn args(words: &str) -> Args {
    parse(words).unwrap_or_else(|error| panic!("{words}: {error}"))
}

#[test]
fn the_loop_is_closed_unless_a_rate_is_named() {
    for (words, kind) in [
        ("", Loop::Closed { clients: 64 }),
        ("--clients 8", Loop::Closed { clients: 8 }),
        ("--rate 1500", Loop::Open { rate: 1500.0, connections: 256 }),
        ("--rate 0.5 --connections 9", Loop::Open { rate: 0.5, connections: 9 }),
    ] {
        assert_eq!(args(words).kind(), kind, "{words}");
    }
}

#[test]
fn what_cannot_be_understood_is_refused() {
    for words in [
        "--rate 5 --clients 2",
        "--connections 5",
        "--rate 0",
        "--rate NaN",
        "--clients 0",
        "--duration 0s",
        "--duration 30",
        "--duration 2d",
        "--warm-up -1s",
        "--warm-up 99999999999999999999s",
        "--warm-up 9000m",
        "--lines 0-3",
        "--lines 5-1",
        "--lines 1-101",
        "--lines many",
        "--settle-sample 101",
        "--popularity often",
        "--products 0",
        "--stock -1",
        "--url https://shop",
        "--bus-url pigeon:",
    ] {
        assert!(parse(words).is_err(), "{words}");
    }
}

#[test]
fn times_ranges_and_percentages_are_read() {
    let args = args("--warm-up 500ms --duration 2m --lines 3 --settle-sample 12.5%");
    assert_eq!(
        (args.warm_up, args.duration),
        (Duration::from_millis(500), Duration::from_secs(120))
    );
    let profile = args.profile().expect("a profile");
    assert_eq!((profile.lines, profile.watched), (3..=3, 0.125));
}

#[test]
fn an_order_cannot_have_more_lines_than_there_are_products() {
    let UsageError(line) = args("--products 4").profile().expect_err("five lines");
    assert_eq!(line, "orders of 5 lines need at least 5 products, but --products is 4");
    assert!(args("--products 5").profile().is_ok());
}

#[test]
fn a_shop_of_its_own_is_started_unless_both_services_are_named() {
    assert!(matches!(args("").target(), Ok(Target::Own { bus: None, .. })));
    assert!(matches!(
        args("--bus-url nats://h:1").target(),
        Ok(Target::Own { bus: Some(BusUrl::Nats(_)), .. })
    ));
    for words in ["--orders-url http://a", "--inventory-url http://a", "--metrics-url http://a"] {
        assert!(args(words).target().is_err(), "{words}");
    }
}

/// The bench would start services on other databases, and its figures would be taken for those of
/// the named ones.
#[test]
fn databases_without_the_shop_that_uses_them_are_refused() {
    for words in [
        "--orders-database-url sqlite:o",
        "--inventory-database-url postgres://h/i",
        "--data-dir d --orders-database-url sqlite:o --inventory-database-url sqlite:i",
    ] {
        let UsageError(line) = args(words).target().expect_err(words);
        assert!(line.contains("--url"), "{line}");
    }
}

#[test]
fn each_process_is_asked_for_its_numbers_once() {
    for (words, asked) in [
        ("--url http://a", &["http://a:80"][..]),
        ("--orders-url http://a --inventory-url http://b", &["http://a:80", "http://b:80"]),
        (
            "--url http://a --metrics-url http://b --metrics-url http://c",
            &["http://b:80", "http://c:80"],
        ),
    ] {
        let Ok(Target::Given { processes, .. }) = args(words).target() else { panic!("{words}") };
        assert_eq!(processes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), asked);
    }
}

#[test]
fn the_databases_of_a_given_shop_are_audited_if_they_are_named() {
    for (words, named) in [
        ("", false),
        ("--data-dir d", true),
        ("--orders-database-url sqlite:o", false),
        ("--orders-database-url sqlite:o --inventory-database-url sqlite:i", true),
    ] {
        let Ok(Target::Given { databases, .. }) = args(&format!("--url http://a {words}")).target()
        else {
            panic!()
        };
        assert_eq!(databases.is_some(), named, "{words}");
    }
}
