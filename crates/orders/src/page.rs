//! The dashboard, with the settings of this service.

use dashboard::Config;
use orders_core::money::Currency;
use platform::config::TraceUrl;
use web::program::Page;

/// The page at `/` of a program that runs the service. In a demo, it places test orders. `links` are
/// pages of the program, and `trace_url` one that shows traces.
pub fn dashboard(
    currency: Currency,
    is_demo: bool,
    links: Vec<&'static str>,
    trace_url: Option<TraceUrl>,
) -> Page {
    let (version, currency) = (env!("CARGO_PKG_VERSION"), currency.to_string());
    let trace_url = trace_url.map(|url| url.as_str().to_owned());
    dashboard::page(&Config { demo: is_demo, version, currency, links, trace_url })
}
