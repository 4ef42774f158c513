//! What an operator may set on a tenant: every field, its default and its rule, in one table.
//!
//! REST and gRPC both arrive here with a JSON object, so a rule exists once. A patch is checked whole before
//! anything is taken from it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use wire::origin::{InvalidOrigin, OriginPattern};

use super::{
    public_suffix,
    refusal::{Hint, Refusal, RefusedField},
    value::{self, colour, flag, https_url, nullable, text, url},
};

/// A tenant's settings. The defaults are those of a tenant provisioned with a name alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TenantSettings {
    /// What people call it. 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub tenant_name: String,
    /// Browser origins that may open visitor sessions: `scheme://host[:port]` or `scheme://*.host[:port]`. At most 100.
    #[schema(value_type = Vec<String>, max_items = 100, example = json!(["https://shop.demo.com", "https://*.demo.com", "app://bloonio_chat_flutter"]))]
    pub allowed_origins: Vec<OriginPattern>,
    /// Where events are delivered: an http or https URL without query or fragment.
    #[schema(pattern = "^[Hh][Tt][Tt][Pp][Ss]?://[^?#]+$")]
    pub callback_url_base: Option<String>,
    /// What stands between `callback_url_base` and an event's own path. At most 200 characters.
    #[schema(max_length = 200, pattern = "^(/[A-Za-z0-9._~-]+)*$", example = "/api/v1/chat-callbacks")]
    pub callback_path_prefix: String,
    /// How events are written and signed: `bloonio` or `standard` (Standard Webhooks 1.0).
    pub webhook_format: WebhookFormat,
    /// Signed calls per minute, 1 to 6000000; a full minute's worth may come at once.
    #[schema(minimum = 1, maximum = 6_000_000)]
    pub rate_limit_per_min: u32,
    /// The plan: 1 to 50 lower-case letters, digits, hyphens and underscores.
    #[schema(pattern = "^[a-z0-9_-]{1,50}$")]
    pub plan_tier: String,
    /// The customer's id at Stripe. At most 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    pub stripe_customer_id: Option<String>,
    /// Messages per month; 0 is no limit.
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    pub monthly_msg_quota: u64,
    /// Gigabytes of attachments; 0 is no limit.
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    pub storage_gb_quota: u64,
    /// Operators who may be online at once; 0 is no limit.
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    pub agent_seats: u64,
    /// Whether visitors may call.
    pub voice_enabled: bool,
    /// Whether visitors may call with video.
    pub video_enabled: bool,
    /// Whether visitors may send files.
    pub file_upload_enabled: bool,
    /// Whether conversations may come from other channels.
    pub multi_channel_enabled: bool,
    /// The name visitors see. At most 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub branding_display_name: Option<String>,
    /// The logo visitors see: an https URL.
    #[schema(pattern = "^[Hh][Tt][Tt][Pp][Ss]://")]
    pub branding_logo_url: Option<String>,
    /// The colour visitors see: #RRGGBB.
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$")]
    pub branding_primary_color: Option<String>,
}

/// How events are written and signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookFormat {
    /// A path for each type of event, signed with HMAC#1.
    Bloonio,
    /// Standard Webhooks 1.0: one URL for all.
    Standard,
}

impl WebhookFormat {
    /// Its text, on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bloonio => "bloonio",
            Self::Standard => "standard",
        }
    }
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            tenant_name: String::new(),
            allowed_origins: Vec::new(),
            callback_url_base: None,
            callback_path_prefix: "/api/v1/chat-callbacks".to_owned(),
            webhook_format: WebhookFormat::Bloonio,
            rate_limit_per_min: 60,
            plan_tier: "free".to_owned(),
            stripe_customer_id: None,
            monthly_msg_quota: 0,
            storage_gb_quota: 0,
            agent_seats: 0,
            voice_enabled: false,
            video_enabled: false,
            file_upload_enabled: true,
            multi_channel_enabled: false,
            branding_display_name: None,
            branding_logo_url: None,
            branding_primary_color: None,
        }
    }
}

/// The largest whole number every JSON reader keeps exact: 2^53 - 1.
const LARGEST_COUNT: u64 = 9_007_199_254_740_991;
const MOST_ORIGINS: usize = 100;

impl TenantSettings {
    /// A new tenant's settings: the defaults under `fields`, of which only `tenant_name` is required.
    ///
    /// # Errors
    /// Every field that is refused.
    pub fn provision(fields: &Map<String, Value>) -> Result<Self, Vec<RefusedField>> {
        let mut settings = Self::default();
        let mut errors = settings.patch(fields).err().unwrap_or_default();
        if !fields.contains_key("tenant_name") {
            errors.insert(0, RefusedField::new("tenant_name", "is required"));
        }
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// Writes only the fields present, and returns the names of those whose value changed. `null` clears a nullable field.
    ///
    /// # Errors
    /// Every field that is refused. Settings that were refused a field are half-written: throw them away.
    pub fn patch(&mut self, fields: &Map<String, Value>) -> Result<Vec<&'static str>, Vec<RefusedField>> {
        value::patch(fields, |field, value| self.set(field, value))
    }

    /// The table. Answers the field's name where its value changed.
    fn set(&mut self, field: &str, value: &Value) -> Result<Option<&'static str>, Refusal> {
        macro_rules! field {
            ($name:ident, $read:expr) => {{
                let read = $read?;
                let changed = self.$name != read;
                self.$name = read;
                Ok(changed.then_some(stringify!($name)))
            }};
        }
        match field {
            "tenant_name" => field!(tenant_name, text(value, 200)),
            "allowed_origins" => field!(allowed_origins, origins(value, &self.allowed_origins)),
            "callback_url_base" => field!(callback_url_base, nullable(value, callback_url)),
            "callback_path_prefix" => field!(callback_path_prefix, path_prefix(value)),
            "webhook_format" => field!(webhook_format, webhook_format(value)),
            "rate_limit_per_min" => field!(rate_limit_per_min, rate(value)),
            "plan_tier" => field!(plan_tier, slug(value)),
            "stripe_customer_id" => field!(stripe_customer_id, nullable(value, |value| text(value, 255))),
            "monthly_msg_quota" => field!(monthly_msg_quota, count(value)),
            "storage_gb_quota" => field!(storage_gb_quota, count(value)),
            "agent_seats" => field!(agent_seats, count(value)),
            "voice_enabled" => field!(voice_enabled, flag(value)),
            "video_enabled" => field!(video_enabled, flag(value)),
            "file_upload_enabled" => field!(file_upload_enabled, flag(value)),
            "multi_channel_enabled" => field!(multi_channel_enabled, flag(value)),
            "branding_display_name" => field!(branding_display_name, nullable(value, |value| text(value, 200))),
            "branding_logo_url" => field!(branding_logo_url, nullable(value, https_url)),
            "branding_primary_color" => field!(branding_primary_color, nullable(value, colour)),
            "tenant_secret" => Err(Refusal::hinted("cannot be written", Hint::RotateSecret)),
            "widget_public_key" => Err(Refusal::hinted("cannot be written", Hint::RotateWidgetKey)),
            "status" => Err(Refusal::hinted("cannot be written", Hint::SetStatus)),
            "tenant_id"
            | "created_at"
            | "updated_at"
            | "secret_rotated_at"
            | "widget_key_rotated_at"
            | "endpoint_state"
            | "webhook_public_key" => Err(Refusal::hinted("is read-only", Hint::LeaveOut)),
            _ => Err(Refusal::hinted("is not a field of a tenant", Hint::ReadReference)),
        }
    }
}

fn slug(value: &Value) -> Result<String, String> {
    let text = text(value, 50)?;
    let well_formed =
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if well_formed { Ok(text) } else { Err("must be lower-case letters, digits, hyphens and underscores".to_owned()) }
}

fn count(value: &Value) -> Result<u64, String> {
    value
        .as_u64()
        .filter(|count| *count <= LARGEST_COUNT)
        .ok_or_else(|| format!("must be a whole number from 0 (no limit) to {LARGEST_COUNT}"))
}

fn rate(value: &Value) -> Result<u32, String> {
    value
        .as_u64()
        .and_then(|rate| u32::try_from(rate).ok())
        .filter(|rate| (1..=6_000_000).contains(rate))
        .ok_or_else(|| "must be a whole number from 1 to 6000000".to_owned())
}

/// Reads a list of origins. Stored origins were checked when they were written, and are not checked against public suffixes again.
fn origins(value: &Value, stored: &[OriginPattern]) -> Result<Vec<OriginPattern>, String> {
    let Value::Array(items) = value else { return Err("must be a list of origins".to_owned()) };
    if items.len() > MOST_ORIGINS {
        return Err(format!("must have at most {MOST_ORIGINS} entries"));
    }
    let mut origins = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Value::String(text) = item else { return Err(format!("entry {} must be a string", index + 1)) };
        let refused = |why: String| format!("entry {} ({:?}) {why}", index + 1, excerpt(text));
        let origin: OriginPattern = text.parse().map_err(|error: InvalidOrigin| refused(error.to_string()))?;
        if !stored.contains(&origin) {
            public_suffix::check_origin(&origin).map_err(refused)?;
        }
        // Two spellings of one origin are one origin.
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    Ok(origins)
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

fn callback_url(value: &Value) -> Result<String, String> {
    let url = url(value, &["https", "http"])?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or fragment: the event's path is appended to it".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn path_prefix(value: &Value) -> Result<String, String> {
    let Value::String(text) = value else { return Err("must be a string".to_owned()) };
    let prefix = text.trim_end_matches('/');
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let well_formed = prefix.is_empty() || prefix.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
    if !well_formed || text.len() > 200 {
        return Err("must be a path such as /api/v1/chat-callbacks, of at most 200 letters, digits and -._~".to_owned());
    }
    Ok(prefix.to_owned())
}

fn webhook_format(value: &Value) -> Result<WebhookFormat, String> {
    [WebhookFormat::Bloonio, WebhookFormat::Standard]
        .into_iter()
        .find(|format| value.as_str() == Some(format.as_str()))
        .ok_or_else(|| "must be bloonio or standard".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => panic!("an object"),
        }
    }

    fn refusal(field: &str, value: Value) -> Option<String> {
        TenantSettings::default()
            .patch(&object(json!({ field: value })))
            .err()
            .map(|errors| errors.into_iter().map(|error| error.refusal.message).collect())
    }

    #[test]
    fn a_name_is_enough_and_the_rest_are_the_documented_defaults() {
        let settings = TenantSettings::provision(&object(json!({"tenant_name": "Demo"}))).expect("provisioned");
        assert_eq!(settings, TenantSettings { tenant_name: "Demo".into(), ..TenantSettings::default() });
        assert_eq!(
            (settings.rate_limit_per_min, settings.plan_tier.as_str(), settings.file_upload_enabled),
            (60, "free", true)
        );
        let errors = TenantSettings::provision(&Map::new()).expect_err("a name is required");
        assert_eq!(errors[0].field, "tenant_name");
    }

    #[test]
    fn a_patch_writes_only_what_is_present_and_names_what_changed() {
        let mut settings =
            TenantSettings { tenant_name: "A".into(), stripe_customer_id: Some("cus_1".into()), ..Default::default() };
        let changed = settings
            .patch(&object(
                json!({"plan_tier": "pro", "tenant_name": "A", "stripe_customer_id": null, "agent_seats": 25}),
            ))
            .expect("taken");
        assert_eq!(changed, ["agent_seats", "plan_tier", "stripe_customer_id"]);
        assert_eq!(
            (settings.plan_tier.as_str(), settings.agent_seats, &settings.stripe_customer_id),
            ("pro", 25, &None)
        );
    }

    #[test]
    fn every_refused_field_is_named_at_once() {
        let errors = TenantSettings::provision(&object(json!({
            "tenant_name": "", "rate_limit_per_min": 0, "colour": "red", "tenant_secret": "sk_mine", "status": "suspended"
        })))
        .expect_err("refused");
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["colour", "rate_limit_per_min", "status", "tenant_name", "tenant_secret"]);
        assert!(!format!("{errors:?}").contains("sk_mine"));
    }

    #[test]
    fn each_field_refuses_what_is_not_of_its_form() {
        for (field, wrong) in [
            ("tenant_name", json!(null)),
            ("tenant_name", json!("  ")),
            ("tenant_name", json!("a\u{0}b")),
            ("tenant_name", json!("x".repeat(201))),
            ("allowed_origins", json!("https://a.com")),
            ("allowed_origins", json!(null)),
            ("allowed_origins", json!(["https://a.com/"])),
            ("allowed_origins", json!([1])),
            ("allowed_origins", json!(["https://a.com", "https://*.co.uk"])),
            ("allowed_origins", json!(["https://*.github.io"])),
            ("allowed_origins", json!(vec!["https://a.com"; 101])),
            ("callback_url_base", json!("ftp://a.com")),
            ("callback_url_base", json!("https://u:p@a.com")),
            ("callback_url_base", json!("https://a.com?x=1")),
            ("callback_path_prefix", json!("no-slash")),
            ("callback_path_prefix", json!("/a/../b")),
            ("callback_path_prefix", json!("/a?b")),
            ("callback_path_prefix", json!(null)),
            ("webhook_format", json!("Standard")),
            ("rate_limit_per_min", json!(6_000_001)),
            ("rate_limit_per_min", json!(1.5)),
            ("rate_limit_per_min", json!("60")),
            ("plan_tier", json!("Pro plan")),
            ("monthly_msg_quota", json!(-1)),
            ("monthly_msg_quota", json!(LARGEST_COUNT + 1)),
            ("voice_enabled", json!(1)),
            ("voice_enabled", json!(null)),
            ("branding_logo_url", json!("http://a.com/logo.png")),
            ("branding_primary_color", json!("#05F")),
            ("branding_primary_color", json!("#0055FG")),
            ("widget_public_key", json!("pk_x")),
            ("created_at", json!("2026-01-01T00:00:00Z")),
            ("nonsense", json!(1)),
        ] {
            assert!(refusal(field, wrong.clone()).is_some(), "{field} = {wrong}");
        }
        for (field, hint) in [
            ("widget_public_key", Hint::RotateWidgetKey),
            ("tenant_secret", Hint::RotateSecret),
            ("status", Hint::SetStatus),
            ("nonsense", Hint::ReadReference),
        ] {
            let refused = TenantSettings::default().patch(&object(json!({ field: null }))).expect_err("refused");
            assert_eq!(refused[0].refusal.hint, Some(hint), "{field}");
        }
    }

    #[test]
    fn origins_are_normalised_and_kept_once() {
        let mut settings = TenantSettings::default();
        settings
            .patch(&object(json!({"allowed_origins": ["https://A.com:443", "https://a.com", "app://x"]})))
            .expect("taken");
        assert_eq!(json!(settings.allowed_origins), json!(["https://a.com", "app://x"]));
    }

    #[test]
    fn a_stored_wildcard_stays_and_a_new_one_under_a_public_suffix_is_refused() {
        let stored = object(json!({"tenant_name": "A", "allowed_origins": ["https://*.co.uk"]}));
        let mut settings: TenantSettings = serde_json::from_value(Value::Object(stored)).expect("read");
        let mut write = |origins: Value| settings.patch(&object(json!({"allowed_origins": origins})));
        assert_eq!(write(json!(["https://*.co.uk", "https://b.com"])), Ok(vec!["allowed_origins"]));
        let refused = write(json!(["https://*.co.uk", "https://*.com.au"])).expect_err("refused");
        assert!(
            refused[0].refusal.message.contains("entry 2") && refused[0].refusal.message.contains("public suffix"),
            "{refused:?}"
        );
        write(json!([])).expect("taken");
        assert!(write(json!(["https://*.co.uk"])).is_err(), "it was given up");
    }
}
