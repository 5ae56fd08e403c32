//! Loads the settings. Fails with one sentence that names an unknown or contradictory setting.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use config::{Environment, File, FileFormat, Source, Value, ValueKind};
use secrecy::ExposeSecret;

use crate::config::Config;

/// All settings with their defaults and descriptions.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");
const PREFIX: &str = "QUANTUMVAULT";
/// Numbers for which zero has a meaning.
const MAY_BE_ZERO: [&str; 6] = [
    "database.slow_statement_ms",
    "http.batch_limit",
    "passwords.concurrency",
    "cache.user_ttl_seconds",
    "cache.session_ttl_seconds",
    "metrics.sample_seconds",
];
/// Numbers of bytes that may exceed [`i32::MAX`].
const MAY_BE_LARGE: [&str; 6] = [
    "budgets.memory_bytes",
    "budgets.memory_bytes_per_address",
    "budgets.memory_bytes_per_user",
    "graphql.document_cache_bytes",
    "quotas.stored_bytes_per_user",
    "quotas.sent_bytes_per_day",
];
/// Largest number of bytes: 2^53. A `Float` holds whole numbers up to it exactly.
const BYTES_MAX: i64 = 1 << 53;
/// Size of the largest batch of metrics, in KiB. A smaller burst would reject such a batch forever.
pub const METRIC_BATCH_KIB: u32 = 219;
/// Most memory of a password hash: 1 GiB. More than the machine has would end the server at the first sign-in.
const HASH_MAX_KIB: u32 = 1024 * 1024;
/// Variable that names the settings file. Not a setting.
const FILE_VARIABLE: &str = "QUANTUMVAULT__CONFIG";
/// Variable that names the folder `api`. Cargo sets it for `cargo run`, which works from any folder of the repository.
const PACKAGE_VARIABLE: &str = "CARGO_MANIFEST_DIR";

/// Form of a setting's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    List,
    Other,
}

/// Reason why the settings cannot be used: one sentence that names the setting and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Loads the settings. `environment` (name and value pairs) overrides the file that it names, which overrides the
/// defaults.
pub fn load(environment: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let mut environment: config::Map<String, String> = environment.into_iter().collect();
    let file = environment.remove(FILE_VARIABLE);
    let package = environment.remove(PACKAGE_VARIABLE);
    let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
    let known = flatten(&defaults).map_err(|error| ConfigError(error.to_string()))?;

    let mut builder = config::Config::builder().add_source(defaults);
    if let Some(path) = &file {
        let source = File::from(Path::new(path)).format(FileFormat::Toml);
        let settings = flatten(&source).map_err(|error| {
            ConfigError(format!(
                "{FILE_VARIABLE} names {path}, which cannot be read ({error}): name a readable TOML file"
            ))
        })?;
        refuse_unknown(&settings, &known, |key| format!("`{key}` in {path}"))?;
        builder = builder.add_source(source);
    }
    for source in variables(environment, &known) {
        refuse_unknown(&flatten(&source).map_err(|error| ConfigError(error.to_string()))?, &known, variable)?;
        builder = builder.add_source(source);
    }
    let unusable = |error| ConfigError(format!("a setting is invalid ({error}): correct its value"));
    let settings = builder.build().map_err(unusable)?;
    let mut config: Config = settings.clone().try_deserialize().map_err(unusable)?;
    known.keys().try_for_each(|key| check_number(&settings, key))?;
    check(&config)?;
    let graphiql = &mut config.graphql.graphiql_dir;
    if let Some(repository) = package.as_deref().and_then(|package| Path::new(package).parent())
        && !graphiql.as_os_str().is_empty()
    {
        // An absolute path stays as it is.
        *graphiql = repository.join(&*graphiql);
    }
    Ok(config)
}

/// Returns the environment as two sources. Settings that are text stay text, even if they look like a number.
fn variables(environment: config::Map<String, String>, known: &BTreeMap<String, Form>) -> [Environment; 2] {
    let texts: BTreeSet<_> =
        known.iter().filter(|(_, form)| **form == Form::Text).map(|(key, _)| variable(key)).collect();
    let (texts, others): (config::Map<_, _>, config::Map<_, _>) =
        environment.into_iter().partition(|(name, _)| texts.contains(&name.to_uppercase()));
    let source =
        |variables| Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(variables));
    // An empty list of list keys would parse every value with a comma as a list.
    let others = source(others).try_parsing(true).list_separator(",").with_list_parse_key("none");
    let lists = known.iter().filter(|(_, form)| **form == Form::List);
    [source(texts), lists.fold(others, |others, (key, _)| others.with_list_parse_key(key))]
}

fn refuse_unknown(
    settings: &BTreeMap<String, Form>,
    known: &BTreeMap<String, Form>,
    name: impl Fn(&str) -> String,
) -> Result<(), ConfigError> {
    match settings.keys().find(|key| !known.contains_key(*key)) {
        None => Ok(()),
        Some(key) => Err(ConfigError(format!(
            "{} is not a setting: remove it, or choose one that `quantumvault config` lists",
            name(key)
        ))),
    }
}

fn variable(key: &str) -> String {
    format!("{PREFIX}__{}", key.to_uppercase().replace('.', "__"))
}

/// Returns the dotted keys of a source, each with the form of its value.
fn flatten(source: &dyn Source) -> Result<BTreeMap<String, Form>, config::ConfigError> {
    fn walk(prefix: &str, values: config::Map<String, Value>, into: &mut BTreeMap<String, Form>) {
        for (key, value) in values {
            let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match value.kind {
                ValueKind::Table(table) => walk(&key, table, into),
                ValueKind::Array(_) => drop(into.insert(key, Form::List)),
                ValueKind::String(_) => drop(into.insert(key, Form::Text)),
                _ => drop(into.insert(key, Form::Other)),
            }
        }
    }
    // An environment source gives dotted keys as they are; a built configuration nests them.
    let mut keys = BTreeMap::new();
    walk("", source.collect()?, &mut keys);
    Ok(keys)
}

/// Checks that a number is in range. Zero is an error unless it has a meaning for the setting.
fn check_number(settings: &config::Config, key: &str) -> Result<(), ConfigError> {
    let least = i64::from(!MAY_BE_ZERO.contains(&key));
    let most = if MAY_BE_LARGE.contains(&key) { BYTES_MAX } else { i32::MAX.into() };
    match settings.get::<Value>(key).map(|value| value.kind) {
        Ok(ValueKind::I64(number)) if !(least..=most).contains(&number) => {
            Err(ConfigError(format!("{} must be between {least} and {most}, but is {number}", variable(key))))
        }
        _ => Ok(()),
    }
}

/// Checks rules that the types of single settings cannot express.
fn check(config: &Config) -> Result<(), ConfigError> {
    let url = config.database_url();
    let url = url.expose_secret();
    let refuse = |key: &str, why: &str| Err(ConfigError(format!("{} {why}", variable(key))));
    if !["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return refuse("database.url", "must begin with sqlite:// or postgres://");
    }
    if config.redis.is_set() && url.starts_with("sqlite:") {
        return refuse(
            "redis.url",
            "needs PostgreSQL: set QUANTUMVAULT__DATABASE__URL to a postgres:// address, or remove Redis",
        );
    }
    if config.database.pool_size < 2 {
        return refuse("database.pool_size", &format!("must be at least 2, but is {}", config.database.pool_size));
    }
    if config.redis.is_set()
        && !["redis://", "rediss://"].iter().any(|scheme| config.redis.url.expose_secret().starts_with(scheme))
    {
        return refuse("redis.url", "must begin with redis:// or rediss://");
    }
    if config.accounts.password_min_length < 8 {
        return refuse(
            "accounts.password_min_length",
            &format!("must be at least 8, but is {}", config.accounts.password_min_length),
        );
    }
    if config.passwords.memory_kib > HASH_MAX_KIB {
        return refuse("passwords.memory_kib", &format!("must be at most {HASH_MAX_KIB}"));
    }
    if config.accounts.access_token_ttl_seconds >= config.accounts.refresh_token_ttl_seconds {
        return refuse(
            "accounts.access_token_ttl_seconds",
            "must be less than QUANTUMVAULT__ACCOUNTS__REFRESH_TOKEN_TTL_SECONDS",
        );
    }
    if config.graphql.default_page_size > config.graphql.max_page_size {
        return refuse("graphql.default_page_size", "must be at most QUANTUMVAULT__GRAPHQL__MAX_PAGE_SIZE");
    }
    if (config.rate_limits.cost_by_caller.burst as usize) < config.graphql.max_complexity {
        return refuse("rate_limits.cost_by_caller.burst", "must be at least QUANTUMVAULT__GRAPHQL__MAX_COMPLEXITY");
    }
    if config.rate_limits.metric_bytes_by_user.burst < METRIC_BATCH_KIB {
        let why = format!("must be at least {METRIC_BATCH_KIB}");
        return refuse("rate_limits.metric_bytes_by_user.burst", &why);
    }
    let budgets = &config.budgets;
    if budgets.memory_bytes_per_user < 3 * config.graphql.max_answer_bytes {
        return refuse(
            "budgets.memory_bytes_per_user",
            "must be at least three times QUANTUMVAULT__GRAPHQL__MAX_ANSWER_BYTES",
        );
    }
    if budgets.memory_bytes < budgets.memory_bytes_per_user.max(budgets.memory_bytes_per_address) {
        return refuse(
            "budgets.memory_bytes",
            "must be at least QUANTUMVAULT__BUDGETS__MEMORY_BYTES_PER_USER and ..._PER_ADDRESS",
        );
    }
    if let Some(origin) = config.http.allowed_origins.iter().find(|origin| !is_origin(origin)) {
        let why =
            format!("names {origin}, which no browser sends: write scheme://host[:port] in lower case without a path");
        return refuse("http.allowed_origins", &why);
    }
    if config.operations.listen == Some(config.http.listen) && config.http.listen.port() != 0 {
        return refuse("operations.listen", "must differ from QUANTUMVAULT__HTTP__LISTEN: choose another port");
    }
    // No TLS: a collector runs beside the server, and can send over TLS to other machines itself.
    if config.traces.is_on() && !config.traces.endpoint.starts_with("http://") {
        return refuse("traces.endpoint", "must begin with http://");
    }
    if config.traces.sample_percent > 100 {
        return refuse("traces.sample_percent", "must be at most 100");
    }
    if config.upkeep.interval_seconds == 0 {
        return refuse("upkeep.interval_seconds", "must be at least 1");
    }
    let url = config.mail.url.expose_secret();
    if !url.is_empty() && !["smtp://", "smtps://", "file://"].iter().any(|scheme| url.starts_with(scheme)) {
        return refuse("mail.url", "must begin with smtp://, smtps:// or file://");
    }
    let base = config.mail.link_base.as_str();
    let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://")).unwrap_or_default();
    if !base.is_empty() && (rest.is_empty() || rest.starts_with('/') || rest.contains(['?', '#', ' '])) {
        return refuse("mail.link_base", "must be an http:// or https:// address without a query");
    }
    Ok(())
}

/// Whether a browser could send this text as an origin (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']) && !text.contains(char::is_uppercase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_with(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        load(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_defaults_hold_every_setting() {
        let config = load_with(&[]).unwrap();
        assert_eq!(config.database_url().expose_secret(), "sqlite://data/quantumvault.db");
        assert_eq!(config.database.pool_size, 20);
    }

    #[test]
    fn numbers_of_bytes_may_exceed_32_bits() {
        let limits = [
            ("QUANTUMVAULT__QUOTAS__STORED_BYTES_PER_USER", "1099511627776"),
            ("QUANTUMVAULT__QUOTAS__SENT_BYTES_PER_DAY", "9007199254740992"),
            ("QUANTUMVAULT__BUDGETS__MEMORY_BYTES", "8589934592"),
        ];
        let config = load_with(&limits).unwrap();
        assert_eq!((config.quotas.stored_bytes_per_user, config.quotas.sent_bytes_per_day), (1 << 40, 1 << 53));
        assert_eq!(config.budgets.memory_bytes, 1 << 33);
    }

    #[test]
    fn the_environment_stands_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "data_dir = \"elsewhere\"\n[database]\npool_size = 7\n").unwrap();
        let file = ("QUANTUMVAULT__CONFIG", file.to_str().unwrap());
        assert_eq!(load_with(&[file]).unwrap().database.pool_size, 7);
        let config = load_with(&[file, ("QUANTUMVAULT__DATABASE__POOL_SIZE", "9")]).unwrap();
        assert_eq!((config.database.pool_size, config.data_dir.to_str()), (9, Some("elsewhere")));
    }

    #[test]
    fn graphiql_is_found_from_any_folder_under_cargo() {
        let package = ("CARGO_MANIFEST_DIR", "/repository/api");
        for (setting, alone, under_cargo) in [
            (None, "api/web/graphiql/dist", "/repository/api/web/graphiql/dist"),
            (Some("built"), "built", "/repository/built"),
            (Some("/usr/share/graphiql"), "/usr/share/graphiql", "/usr/share/graphiql"),
            (Some(""), "", ""),
        ] {
            let setting = setting.map(|value| ("QUANTUMVAULT__GRAPHQL__GRAPHIQL_DIR", value));
            let folder = |pairs: &[_]| load_with(pairs).unwrap().graphql.graphiql_dir;
            assert_eq!(folder(setting.as_slice()).to_str(), Some(alone));
            let pairs: Vec<_> = setting.into_iter().chain([package]).collect();
            assert_eq!(folder(&pairs).to_str(), Some(under_cargo));
        }
    }

    #[test]
    fn a_text_that_looks_like_a_number_stays_a_text() {
        let text = |name| load_with(&[(name, "007")]).unwrap();
        assert_eq!(text("QUANTUMVAULT__DATA_DIR").data_dir.to_str(), Some("007"));
        assert_eq!(text("quantumvault__redis__prefix").redis.prefix, "007");
        assert_eq!(text("QUANTUMVAULT__HTTP__BATCH_LIMIT").http.batch_limit, 7);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (pairs, name) in [
            (&[("QUANTUMVAULT__HTTP__LISTENS", "1")][..], "QUANTUMVAULT__HTTP__LISTENS is not a setting"),
            (&[("QUANTUMVAULT__DATABASE__POOL_SIZE", "many")], "database.pool_size"),
            (&[("QUANTUMVAULT__DATABASE__URL", "mysql://x")], "QUANTUMVAULT__DATABASE__URL must begin with"),
            (&[("QUANTUMVAULT__REDIS__URL", "redis://127.0.0.1")], "QUANTUMVAULT__REDIS__URL needs PostgreSQL"),
            (&[("QUANTUMVAULT__CONFIG", "/nowhere.toml")], "QUANTUMVAULT__CONFIG names /nowhere.toml"),
            (&[("QUANTUMVAULT__LOG__FORMAT", "xml")], "log.format"),
            (&[("QUANTUMVAULT__PASSWORDS__MEMORY_KIB", "16777216")], "PASSWORDS__MEMORY_KIB must be at most 1048576"),
            (&[("QUANTUMVAULT__FEED__POLL_SECONDS", "0")], "QUANTUMVAULT__FEED__POLL_SECONDS must be between 1 and"),
            (&[("QUANTUMVAULT__HTTP__MAX_CONNECTIONS", "9223372036854775807")], "MAX_CONNECTIONS must be between 1"),
            (&[("QUANTUMVAULT__QUOTAS__STORED_BYTES_PER_USER", "0")], "must be between 1 and 9007199254740992"),
            (&[("QUANTUMVAULT__QUOTAS__SENT_BYTES_PER_DAY", "9007199254740993")], "must be between 1 and 900719925474"),
            (&[("QUANTUMVAULT__RATE_LIMITS__METRIC_BYTES_BY_USER__BURST", "218")], "BURST must be at least 219"),
            (&[("QUANTUMVAULT__GRAPHQL__DEFAULT_PAGE_SIZE", "500")], "DEFAULT_PAGE_SIZE must be at most"),
            (&[("QUANTUMVAULT__HTTP__ALLOWED_ORIGINS", "https://app.example/")], "ALLOWED_ORIGINS names https://app"),
            (&[("QUANTUMVAULT__BUDGETS__MEMORY_BYTES", "1")], "BUDGETS__MEMORY_BYTES must be at least"),
            (&[("QUANTUMVAULT__BUDGETS__MEMORY_BYTES_PER_USER", "1")], "MEMORY_BYTES_PER_USER must be at least"),
            (&[("QUANTUMVAULT__OPERATIONS__LISTEN", "9000")], "operations.listen"),
            (&[("QUANTUMVAULT__OPERATIONS__LISTEN", "127.0.0.1:8000")], "QUANTUMVAULT__OPERATIONS__LISTEN must differ"),
            (&[("QUANTUMVAULT__TRACES__ENDPOINT", "https://a.example")], "QUANTUMVAULT__TRACES__ENDPOINT must begin"),
            (
                &[("QUANTUMVAULT__TRACES__SAMPLE_PERCENT", "101")],
                "QUANTUMVAULT__TRACES__SAMPLE_PERCENT must be at most",
            ),
            (&[("QUANTUMVAULT__MAIL__URL", "mail.example.org")], "QUANTUMVAULT__MAIL__URL must begin with"),
            (&[("QUANTUMVAULT__MAIL__LINK_BASE", "example.org")], "QUANTUMVAULT__MAIL__LINK_BASE must be"),
            (&[("QUANTUMVAULT__MAIL__LINK_BASE", "https:///app")], "QUANTUMVAULT__MAIL__LINK_BASE must be"),
            (&[("QUANTUMVAULT__MAIL__LINK_BASE", "https://example.org/?a=b")], "QUANTUMVAULT__MAIL__LINK_BASE must be"),
        ] {
            let error = load_with(pairs).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
