use super::*;

fn resolved(args: &OidcArgs) -> Result<Option<TokenSettings>, String> {
    args.resolve(&File::default()).map_err(|UsageError(line)| line)
}

fn args() -> OidcArgs {
    OidcArgs {
        oidc_issuer: Some("https://id.example.com/realms/shop".to_owned()),
        oidc_audience: Some("lastro".to_owned()),
        ..OidcArgs::default()
    }
}

#[test]
fn without_an_issuer_there_are_no_tokens_and_with_one_there_are_defaults() {
    assert!(resolved(&OidcArgs::default()).expect("nothing is wrong").is_none());
    let settings = resolved(&args()).expect("good settings").expect("an issuer");
    assert_eq!(settings.scope_claim, "scope");
    assert_eq!(settings.max_lifetime, Duration::from_secs(900));
    assert_eq!((settings.jwks_url, settings.ca), (None, None));
}

#[test]
fn a_mistake_is_told_in_one_line() {
    let text = |text: &str| Some(text.to_owned());
    let long = format!("https://id.example.com/{}", "x".repeat(150));
    for (wrong, words) in [
        (OidcArgs { oidc_audience: None, ..args() }, "need each other"),
        (OidcArgs { oidc_issuer: None, ..args() }, "need each other"),
        (OidcArgs { oidc_scope_claim: text("scp"), ..OidcArgs::default() }, "need oidc_issuer"),
        (OidcArgs { oidc_max_lifetime_s: Some(60), ..OidcArgs::default() }, "need oidc_issuer"),
        (OidcArgs { oidc_audience: text(" "), ..args() }, "oidc_audience must be"),
        (OidcArgs { oidc_issuer: text("id.example.com"), ..args() }, "oidc_issuer: "),
        (OidcArgs { oidc_issuer: text("http://id.example.com"), ..args() }, "https://"),
        (OidcArgs { oidc_issuer: text("ftp://127.0.0.1"), ..args() }, "https://"),
        (OidcArgs { oidc_issuer: text("https://id.example.com?a=b"), ..args() }, "no query"),
        (OidcArgs { oidc_issuer: Some(long), ..args() }, "at most 150 characters"),
        (OidcArgs { oidc_jwks_url: text("http://10.0.0.1/keys"), ..args() }, "oidc_jwks_url: "),
        (OidcArgs { oidc_jwks_url: text("https://u:s3cret@h/keys"), ..args() }, "no user"),
        (OidcArgs { oidc_max_lifetime_s: Some(59), ..args() }, "60 to 86400"),
        (OidcArgs { oidc_max_lifetime_s: Some(86_401), ..args() }, "60 to 86400"),
    ] {
        let line = resolved(&wrong).expect_err(words);
        assert!(line.contains(words) && !line.contains('\n'), "{line}");
        assert!(!line.contains("s3cret"), "{line}");
    }
    for url in ["http://127.0.0.1:8180/realms/shop", "http://[::1]:1", "http://localhost/a"] {
        let settings = OidcArgs { oidc_issuer: text(url), ..args() };
        assert!(resolved(&settings).is_ok(), "{url}");
    }
}

#[test]
fn roles_allow_what_is_listed_and_a_scope_allows_itself() {
    let roles: Roles =
        " clerk = stock:read  stock:receive ;manager=stock:adjust;guest=; stock:read="
            .parse()
            .expect("roles");
    for (value, allowed) in [
        ("clerk", &[Scope::StockRead, Scope::StockReceive][..]),
        ("manager", &[Scope::StockAdjust]),
        ("guest", &[]),
        ("orders:read", &[Scope::OrdersRead]),
        // It is listed, so it allows what is listed.
        ("stock:read", &[]),
        ("orders:all", &[]),
        ("", &[]),
    ] {
        assert_eq!(roles.allowed(value).iter().collect::<Vec<_>>(), allowed, "{value}");
    }
    let table: Roles = toml::from_str(
        "clerk = [\"stock:read\", \"stock:receive\"]\nmanager = [\"stock:adjust\"]\nguest = []\n\"stock:read\" = []",
    )
    .expect("a table");
    assert_eq!(table, roles);
    for (text, words) in [
        ("clerk", "such as clerk=stock:read"),
        ("clerk=stock:all", "stock:all"),
        ("clerk=stock:read;clerk=stock:adjust", "twice"),
    ] {
        let UsageError(line) = text.parse::<Roles>().expect_err(words);
        assert!(line.contains(words) && !line.contains('\n'), "{line}");
    }
}
