//! The shop under test: programs of its own in a folder of its own, and what a client can ask of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Body, Client, Method};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{Ended, Launch, PATIENCE, Proxy, Tool, eventually, postgres};

use crate::answer::Answer;
use crate::form::{Form, Programs, Setting};

/// Headers of a request.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) programs: Programs,
    pub(crate) setting: Setting,
    pub(crate) form: Form,
    folder: TempDir,
    client: Client,
}

impl Shop {
    /// A new and empty one.
    pub(crate) async fn open() -> Self {
        Self::open_with(|launch| launch).await
    }

    /// One that is started in its own way.
    pub(crate) async fn open_with(how: impl Fn(Launch) -> Launch) -> Self {
        let form = Form::under_test();
        Self::start(form, Setting::of(form).await, tempfile::tempdir().expect("a folder"), how).await
    }

    /// One whose services a broker joins: in the form under test if it has one, else as two processes.
    pub(crate) async fn open_with_broker() -> Self {
        let form = Form::that(Form::has_broker);
        Self::open_as(form, Setting::of(form).await).await
    }

    /// One whose services are processes of their own, with a stretch of network between Inventory and the broker.
    pub(crate) async fn open_apart() -> Self {
        let form = Form::that(Form::is_apart);
        let mut setting = Setting::of(form).await;
        setting.link = Some(Proxy::to(setting.broker().port()).await);
        Self::open_as(form, setting).await
    }

    /// One that keeps its data in files.
    pub(crate) async fn open_on_files() -> Self {
        let form = Form::that(Form::has_files);
        Self::open_as(form, Setting::of(form).await).await
    }

    /// One that suffers; see `platform::fault`.
    pub(crate) async fn open_to(fault: &str) -> Self {
        let form = Form::under_test();
        let setting = Setting { fault: Some(fault.to_owned()), ..Setting::of(form).await };
        Self::open_as(form, setting).await
    }

    /// One that is waited for until its auditors have come round.
    pub(crate) async fn open_to_auditors() -> Self {
        let form = Form::under_test();
        let folder = tempfile::tempdir().expect("a folder");
        Self::start(form, Setting::of(form).await, folder, awaited).await
    }

    /// In a form and a setting of the test's own.
    pub(crate) async fn open_as(form: Form, setting: Setting) -> Self {
        Self::start(form, setting, tempfile::tempdir().expect("a folder"), |launch| launch).await
    }

    /// The same in a folder that is there already.
    pub(crate) async fn open_in(folder: TempDir, form: Form, setting: Setting) -> Self {
        Self::start(form, setting, folder, |launch| launch).await
    }

    async fn start(form: Form, setting: Setting, folder: TempDir, how: impl Fn(Launch) -> Launch) -> Self {
        let programs = Programs::start(form, folder.path(), &setting, how).await;
        Self { programs, setting, form, folder, client: client() }
    }

    /// Starts it again on the same data, after it was killed or has ended.
    pub(crate) async fn reopen(&mut self) {
        // Whatever still runs holds the files.
        self.programs.kill();
        self.programs.ended(PATIENCE).await;
        self.programs = Programs::start(self.form, self.folder.path(), &self.setting, |launch| launch).await;
        self.client = client();
    }

    /// How its programs are started again, after they were killed: those that take orders first.
    pub(crate) fn launches(&self) -> Vec<Launch> {
        Programs::launches(self.form, self.folder.path(), &self.setting)
    }

    /// Starts again only what has ended.
    pub(crate) async fn restart_ended(&mut self) {
        self.programs.restart_ended(self.form, self.folder.path(), &self.setting).await;
        self.client = client();
    }

    /// Ends it in an orderly way; its files can be read then.
    pub(crate) async fn close(mut self) -> TempDir {
        self.programs.terminate();
        assert_eq!(self.programs.ended(PATIENCE).await, Some(0), "{}", self.programs.log());
        self.folder
    }

    /// What is left of it, as it is.
    pub(crate) fn into_folder(self) -> TempDir {
        self.folder
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `lastro verify` beside it.
    pub(crate) async fn verify(&self) -> Ended {
        self.verify_with(PATIENCE, &[]).await
    }

    /// The same with more to check, on data that may be much.
    pub(crate) async fn verify_with(&self, deadline: Duration, arguments: &[&str]) -> Ended {
        let verify = self.setting.sees_disk(lastro(self.folder.path()).args(["verify"]).args(self.setting.places()));
        verify.args(arguments.iter().copied()).to_end_within(deadline).await
    }

    /// `lastro verify --watch` beside it.
    pub(crate) fn watch(&self, arguments: &[&str]) -> Tool {
        let watch = lastro(self.folder.path()).args(["verify", "--watch"]).args(self.setting.places());
        awaited(watch.args(arguments.iter().copied())).talking()
    }

    /// The audit must find nothing.
    pub(crate) async fn must_verify(&self) {
        let ended = self.verify().await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    }

    /// Keeps the Inventory Service from answering as long as the result lives: somebody else locks its database.
    pub(crate) async fn hold_inventory(&self) -> Held {
        if let Some(databases) = &self.setting.databases {
            let client = postgres(&databases.inventory).await;
            client.batch_execute("BEGIN; LOCK TABLE products IN EXCLUSIVE MODE").await.expect("the lock");
            return Held::Server { _client: client };
        }
        let connection = Connection::open(data_in(self.folder.path()).join("inventory.db")).expect("the database");
        connection.busy_timeout(PATIENCE).expect("a timeout");
        connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        Held::File { _connection: connection }
    }

    /// The kinds of what both services have set aside: that of orders first.
    pub(crate) async fn quarantined(&self) -> [Vec<String>; 2] {
        const KINDS: &str = "SELECT kind FROM quarantine ORDER BY kind";
        if let Some(databases) = &self.setting.databases {
            let kinds = async |url: &str| {
                let rows = postgres(url).await.query(KINDS, &[]).await.expect("rows");
                rows.iter().map(|row| row.get(0)).collect()
            };
            return [kinds(&databases.orders).await, kinds(&databases.inventory).await];
        }
        ["orders.db", "inventory.db"].map(|file| {
            let connection = Connection::open(data_in(self.folder.path()).join(file)).expect("the database");
            let mut statement = connection.prepare(KINDS).expect("a table");
            let kinds = statement.query_map([], |row| row.get(0)).expect("rows");
            kinds.collect::<Result<_, _>>().expect("texts")
        })
    }
}

/// What keeps a database locked.
pub(crate) enum Held {
    File { _connection: Connection },
    Server { _client: tokio_postgres::Client },
}

/// How `lastro` is started in `folder`.
pub(crate) fn launch(folder: &Path) -> Launch {
    lastro(folder).args(["--listen", "127.0.0.1:0", "--data-dir", "data"])
}

/// A test waits for its audit: it takes half of the time, and not a fiftieth.
pub(crate) fn awaited(launch: Launch) -> Launch {
    launch.env("LASTRO_AUDIT_SHARE", "2")
}

/// `lastro` without arguments.
pub(crate) fn lastro(folder: &Path) -> Launch {
    Launch::of(env!("CARGO_BIN_EXE_lastro"), folder)
}

pub(crate) fn data_in(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// `lastro verify` on files in a folder.
pub(crate) async fn verify(folder: &Path, arguments: &[&str]) -> Ended {
    lastro(folder).args(["verify", "--data-dir", "data"]).args(arguments.iter().copied()).to_end().await
}

/// A service closes a connection that idles for 10 s, perhaps just as a request is on its way: nothing is sent on one
/// that has idled for long.
fn client() -> Client {
    let builder = Client::builder().no_proxy().redirect(Policy::none()).timeout(Duration::from_secs(60));
    builder.pool_idle_timeout(Duration::from_secs(5)).build().expect("a client")
}

/// Requests.
impl Shop {
    /// Sends anything.
    ///
    /// **Errors:** no answer came.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> reqwest::Result<Answer> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("http://{}{path}", self.programs.address_of(path)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(body).send().await?).await
    }

    /// Sends anything, and must get an answer.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: Headers<'_>, body: impl Into<Body>) -> Answer {
        let answer = self.try_send(method, path, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// What each of the programs answers on this path of its own.
    pub(crate) async fn get_each(&self, path: &str) -> Vec<Answer> {
        let mut answers = Vec::new();
        let (orders, inventory) = self.programs.addresses();
        for address in orders.into_iter().chain(inventory) {
            let answer = self.client.get(format!("http://{address}{path}")).send().await.expect("an answer");
            answers.push(Answer::of(answer).await.expect("a whole answer"));
        }
        answers
    }

    /// The numbers of all programs. Whole ones of one name are added up.
    pub(crate) async fn metrics(&self) -> String {
        let texts: String = self.get_each("/metrics").await.into_iter().map(|answer| answer.text).collect();
        let (mut lines, mut sums) = (Vec::new(), BTreeMap::<_, u64>::new());
        for line in texts.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            match value.parse::<u64>() {
                Ok(value) => *sums.entry(name).or_default() += value,
                Err(_) => lines.push(line.to_owned()),
            }
        }
        lines.extend(sums.into_iter().map(|(name, sum)| format!("{name} {sum}")));
        lines.join("\n")
    }

    /// The description of the whole API, which each program tells its part of.
    pub(crate) async fn description(&self) -> Value {
        let parts = self.get_each("/openapi.json").await.into_iter().map(|answer| answer.ok());
        parts.reduce(merge).expect("a program")
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[JSON], body.to_string()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: Headers<'_>, body: &Value) -> Answer {
        let headers: Vec<_> = [JSON].iter().chain(headers).copied().collect();
        self.send("POST", path, &headers, body.to_string()).await
    }
}

/// Objects member by member; whatever else, the first.
fn merge(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            for (name, value) in other {
                let merged = match one.remove(&name) {
                    Some(known) => merge(known, value),
                    None => value,
                };
                one.insert(name, merged);
            }
            Value::Object(one)
        }
        (one, _) => one,
    }
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
/// Longer than any outcome takes, and than what the API grants.
pub(crate) const WAIT: (&str, &str) = ("prefer", "wait=30");

/// Orders.
impl Shop {
    pub(crate) async fn place(&self, order: &Value) -> Answer {
        self.post("/api/orders", order).await
    }

    /// Places an order of these products and waits for its outcome. Its id and its status.
    pub(crate) async fn settle(&self, products: &[(&str, u32)]) -> (String, String) {
        let answer = self.post_with("/api/orders", &[WAIT], &order(products)).await;
        (answer.text_at("/order_id"), answer.text_at("/status"))
    }

    /// The id of an order that is confirmed by now.
    pub(crate) async fn confirmed(&self, products: &[(&str, u32)]) -> String {
        let (id, status) = self.settle(products).await;
        assert_eq!(status, "confirmed");
        id
    }

    pub(crate) async fn order(&self, id: &str) -> Value {
        self.get(&format!("/api/orders/{id}")).await.ok()
    }

    /// The order, once it is in this status.
    pub(crate) async fn order_once(&self, id: &str, status: &str) -> Value {
        eventually(PATIENCE, &format!("order {id} is {status}"), || async {
            Some(self.order(id).await).filter(|order| order["status"] == status)
        })
        .await
    }

    /// Asks to `cancel` or `fulfill`, and waits for the outcome.
    pub(crate) async fn ask(&self, id: &str, action: &str) -> Answer {
        self.send("POST", &format!("/api/orders/{id}/{action}"), &[WAIT], "").await
    }
}

/// An order of these products, each at a price of 10.00.
pub(crate) fn order(products: &[(&str, u32)]) -> Value {
    let line =
        |(product_id, quantity): &(&str, u32)| json!({"product_id": product_id, "quantity": quantity, "price": 10});
    json!({"customer_id": "C1", "products": products.iter().map(line).collect::<Vec<_>>()})
}

/// Stock.
impl Shop {
    /// Makes a product and, unless it is 0, puts so many units of it into the location `main`.
    pub(crate) async fn stock(&self, product_id: &str, units: u32) {
        self.put(&format!("/api/inventory/products/{product_id}"), &json!({"name": product_id})).await.ok();
        if units > 0 {
            self.receive(product_id, "main", units).await;
        }
    }

    pub(crate) async fn receive(&self, product_id: &str, location_id: &str, units: u32) {
        let movement = json!({"kind": "receive", "quantity": units, "location_id": location_id});
        self.move_stock(product_id, &movement).await.ok();
    }

    pub(crate) async fn move_stock(&self, product_id: &str, movement: &Value) -> Answer {
        self.post(&format!("/api/inventory/products/{product_id}/movements"), movement).await
    }

    /// On hand, reserved and available, over all locations.
    pub(crate) async fn levels(&self, product_id: &str) -> [i64; 3] {
        let product = self.get(&format!("/api/inventory/products/{product_id}")).await.ok();
        ["on_hand", "reserved", "available"].map(|name| product[name].as_i64().expect("a number of units"))
    }

    pub(crate) async fn available(&self, product_id: &str) -> i64 {
        self.levels(product_id).await[2]
    }
}

/// Lists.
impl Shop {
    /// Everything in a list, page by page, and the sizes of the pages.
    pub(crate) async fn pages(&self, path: &str) -> (Vec<Value>, Vec<usize>) {
        let (mut rows, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let from = cursor.map(|cursor| format!("{joint}cursor={cursor}")).unwrap_or_default();
            let page = self.get(&format!("{path}{from}")).await.ok();
            let data = page["data"].as_array().expect("a list");
            sizes.push(data.len());
            rows.extend(data.iter().cloned());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return (rows, sizes);
            }
        }
    }

    /// One member of everything in a list.
    pub(crate) async fn column(&self, path: &str, name: &str) -> Vec<String> {
        let (rows, _) = self.pages(path).await;
        rows.iter().map(|row| row[name].as_str().expect("a text").to_owned()).collect()
    }
}
