//! A bot's widget: the public keys pages carry, and its look and copy.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::fields::Fields;
use wire::{FieldError, TenantId, origin::Domain};

use super::{
    credentials::WidgetKey,
    public_suffix,
    refusal::{Hint, Refusal, RefusedField},
    value::{self, colour, flag, https_url, nullable, text},
};

/// Widget keys a bot may have that are not revoked.
pub const MOST_WIDGET_KEYS: usize = 100;

/// Sessions an hour that a key opens where nothing else is said.
pub const DEFAULT_RATE_PER_HOUR: u32 = 1000;

/// What the key is called that a tenant has from the start.
pub const DEFAULT_KEY_NAME: &str = "Default";

const LONGEST_NAME: usize = 100;
const MOST_DOMAINS: usize = 100;
const MOST_STARTERS: usize = 6;
const LONGEST_STARTER: usize = 80;
const LARGEST_RATE_PER_HOUR: u32 = 1_000_000;

/// A key that a widget on a page carries. It is public.
#[derive(Clone, Debug, PartialEq)]
pub struct BotKey {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it opens.
    pub bot_id: Uuid,
    /// Its text.
    pub api_key: WidgetKey,
    /// What people call it.
    pub name: String,
    /// The host names whose pages may carry it; none, the tenant's allowed origins.
    pub allowed_domains: Vec<Domain>,
    /// Sessions it opens in an hour.
    pub rate_limit_per_hour: u32,
    /// Whether it opens anything.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A new widget key.
#[derive(Clone, Debug, PartialEq, ToSchema)]
#[schema(as = NewWidgetKey)]
pub struct NewBotKey {
    /// The bot that the key opens.
    pub bot_id: Uuid,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// The host names whose pages may carry it, such as `example.com` and `*.example.com`; none, the tenant's allowed
    /// origins. At most 100.
    #[schema(value_type = Option<Vec<String>>, max_items = 100, example = json!(["example.com", "*.example.com"]))]
    pub allowed_domains: Vec<Domain>,
    /// Sessions it opens in an hour.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000, default = 1000)]
    pub rate_limit_per_hour: u32,
}

impl NewBotKey {
    /// Reads it.
    ///
    /// # Errors
    /// Every field that is refused.
    pub fn read(mut fields: Fields) -> Result<Self, Vec<RefusedField>> {
        let bot_id = fields.text("bot_id", 36);
        let bot_id = Uuid::try_parse(&bot_id).unwrap_or_else(|_| {
            fields.require("bot_id", "must be a bot's id");
            Uuid::nil()
        });
        let name = fields.text("name", LONGEST_NAME);
        let mut allowed_domains = Vec::new();
        let domains = fields.optional_texts("allowed_domains", MOST_DOMAINS, 253).unwrap_or_default();
        for (index, text) in domains.into_iter().enumerate() {
            match text.parse::<Domain>() {
                Ok(domain) if allowed_domains.contains(&domain) => {}
                Ok(domain) => match public_suffix::check_domain(&domain) {
                    Ok(()) => allowed_domains.push(domain),
                    Err(why) => fields.require("allowed_domains", format!("entry {} {why}", index + 1)),
                },
                Err(_) => {
                    let message = format!("entry {} is no host name: write example.com or *.example.com", index + 1);
                    fields.require("allowed_domains", message);
                }
            }
        }
        let rate_limit_per_hour =
            fields.number("rate_limit_per_hour", 1..=LARGEST_RATE_PER_HOUR, DEFAULT_RATE_PER_HOUR);
        fields.refuse_others();
        fields.finish().map_err(|refused| {
            let hinted = |error: FieldError| match error.field.as_str() {
                "bot_id" => RefusedField::new("bot_id", Refusal::hinted(&error.message, Hint::ListBots)),
                _ => error.into(),
            };
            refused.0.into_iter().map(hinted).collect::<Vec<_>>()
        })?;
        Ok(Self { bot_id, name, allowed_domains, rate_limit_per_hour })
    }
}

/// How a bot's widget looks, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Appearance {
    /// `#RRGGBB`.
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$")]
    pub theme_color: String,
    /// `bottom-right` or `bottom-left`.
    #[schema(pattern = "^bottom-(right|left)$")]
    pub position: String,
    /// What stands beside the launcher. 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub greeting_text: String,
    /// The bot's first words. At most 1000 characters.
    #[schema(min_length = 1, max_length = 1000)]
    pub welcome_message: Option<String>,
    /// An https URL.
    #[schema(pattern = "^[Hh][Tt][Tt][Pp][Ss]://")]
    pub avatar_url: Option<String>,
    /// Whether it says what it is powered by.
    pub show_branding: bool,
    /// What stands above the conversation. At most 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub widget_title: Option<String>,
    /// What stands where one types. 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub placeholder_text: String,
    /// First messages to choose from. At most 6, of 1 to 80 characters.
    #[schema(max_items = 6)]
    pub starters: Vec<String>,
}

impl Default for Appearance {
    fn default() -> Self {
        Self {
            theme_color: "#2563EB".to_owned(),
            position: "bottom-right".to_owned(),
            greeting_text: "Hello! How can we help?".to_owned(),
            welcome_message: None,
            avatar_url: None,
            show_branding: true,
            widget_title: None,
            placeholder_text: "Write a message".to_owned(),
            starters: Vec::new(),
        }
    }
}

impl Appearance {
    /// Writes only the fields present, and returns the names of those whose value changed. `null` clears one that may be
    /// absent.
    ///
    /// # Errors
    /// Every field that is refused. The appearance is then half-written: throw it away.
    pub fn patch(&mut self, fields: &Map<String, Value>) -> Result<Vec<&'static str>, Vec<RefusedField>> {
        value::patch(fields, |field, value| self.set(field, value))
    }

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
            "theme_color" => field!(theme_color, colour(value)),
            "position" => field!(position, position(value)),
            "greeting_text" => field!(greeting_text, text(value, 200)),
            "welcome_message" => field!(welcome_message, nullable(value, |value| text(value, 1000))),
            "avatar_url" => field!(avatar_url, nullable(value, https_url)),
            "show_branding" => field!(show_branding, flag(value)),
            "widget_title" => field!(widget_title, nullable(value, |value| text(value, 100))),
            "placeholder_text" => field!(placeholder_text, text(value, 100)),
            "starters" => field!(starters, starters(value)),
            // What was read may be sent back.
            "bot_id" | "id" | "created_at" | "updated_at" => Ok(None),
            _ => Err(Refusal::hinted("is not a field of a widget's appearance", Hint::ReadReference)),
        }
    }
}

/// The line of HTML that puts the widget on a page.
#[must_use]
pub fn embed_code(relay_url: &str, tenant_id: TenantId, key: &WidgetKey) -> String {
    let source = relay_url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        r#"<script src="{source}/widget.js" data-tenant-id="{tenant_id}" data-public-key="{}" async></script>"#,
        key.as_str()
    )
}

fn position(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(position @ ("bottom-right" | "bottom-left")) => Ok(position.to_owned()),
        _ => Err("must be bottom-right or bottom-left".to_owned()),
    }
}

fn starters(value: &Value) -> Result<Vec<String>, String> {
    let Value::Array(items) = value else {
        return Err("must be a list of texts, such as [\"Where is my order?\"]".to_owned());
    };
    if items.len() > MOST_STARTERS {
        return Err(format!("must have at most {MOST_STARTERS} texts"));
    }
    let mut starters = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let starter = text(item, LONGEST_STARTER).map_err(|why| format!("text {} {why}", index + 1))?;
        if starters.contains(&starter) {
            return Err(format!("text {} is there twice", index + 1));
        }
        starters.push(starter);
    }
    Ok(starters)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            _ => panic!("an object"),
        }
    }

    #[test]
    fn an_embed_code_is_html_whatever_the_url() {
        let (tenant, key) = (TenantId::generate(), WidgetKey::generate());
        let code = embed_code("https://relay.example.com/a\"&<b>", tenant, &key);
        assert_eq!(
            code,
            format!(
                "<script src=\"https://relay.example.com/a&quot;&amp;&lt;b&gt;/widget.js\" data-tenant-id=\"{tenant}\" \
                 data-public-key=\"{}\" async></script>",
                key.as_str()
            )
        );
    }

    #[test]
    fn a_look_takes_what_is_present_and_names_what_is_wrong() {
        let mut appearance = Appearance::default();
        let changed = appearance.patch(&object(json!({
            "theme_color": "#0055FF", "position": "bottom-left", "welcome_message": "Salut", "show_branding": true,
            "bot_id": "kept", "updated_at": "kept"
        })));
        let mut changed = changed.expect("taken");
        changed.sort_unstable();
        assert_eq!(changed, ["position", "theme_color", "welcome_message"]);
        assert_eq!(
            (appearance.welcome_message.as_deref(), appearance.greeting_text),
            (Some("Salut"), Appearance::default().greeting_text)
        );
        for (field, wrong) in [
            ("theme_color", json!("red")),
            ("position", json!("top-left")),
            ("greeting_text", json!("")),
            ("greeting_text", json!(null)),
            ("greeting_text", json!("x".repeat(201))),
            ("welcome_message", json!("x".repeat(1001))),
            ("avatar_url", json!("http://a.com/x.png")),
            ("avatar_url", json!("javascript:alert(1)")),
            ("show_branding", json!("yes")),
            ("widget_title", json!(7)),
            ("placeholder_text", json!(null)),
            ("starters", json!(null)),
            ("starters", json!("Where is my order?")),
            ("starters", json!([""])),
            ("starters", json!(["x".repeat(81)])),
            ("starters", json!(["a", "a"])),
            ("starters", json!(["a", 7])),
            ("starters", json!(["a", "b", "c", "d", "e", "f", "g"])),
            ("css", json!("body{}")),
        ] {
            let refused = Appearance::default().patch(&object(json!({ field: wrong }))).expect_err("refused");
            assert_eq!(refused[0].field, field);
        }
        let mut cleared = Appearance { widget_title: Some("T".into()), ..Appearance::default() };
        assert_eq!(cleared.patch(&object(json!({"widget_title": null}))), Ok(vec!["widget_title"]));
        assert_eq!(cleared, Appearance::default());
        let starters = object(json!({"starters": ["Where is my order?", "Où est ma commande ?"]}));
        assert_eq!(cleared.patch(&starters), Ok(vec!["starters"]));
        assert_eq!(cleared.patch(&starters), Ok(vec![]));
        assert_eq!(cleared.patch(&object(json!({"starters": []}))), Ok(vec!["starters"]));
    }
}
