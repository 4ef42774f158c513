//! `/widget.js`: the widget that pages embed, the chat that it loads once a visitor wants it, and its texts in languages other than English.
//! All are built from `web/widget/` and part of the binary.

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    extract::{Path, Request},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header};
use serde::Deserialize;
use service::{ApiError, Failure};

use super::{asset::Asset, shapes::visitors::LauncherTexts};

static WIDGET: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_bytes!("../../web/widget/dist/widget.js"), "text/javascript; charset=utf-8"));

static CHAT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_bytes!("../../web/widget/dist/chat.js"), "text/javascript; charset=utf-8"));

/// By language.
static TEXTS: LazyLock<HashMap<&'static str, Asset>> =
    LazyLock::new(|| FILES.iter().map(|(language, file)| (*language, Asset::new(file, "application/json"))).collect());

macro_rules! texts {
    ($($language:literal),*) => {
        &[$(($language, include_bytes!(concat!("../../web/widget/locales/", $language, ".json")))),*]
    };
}

/// The texts of each language, as they are sent.
static FILES: &[(&str, &[u8])] = texts!["ar", "de", "es", "fr", "it", "ja", "nl", "pl", "pt", "tr", "zh"];

/// Pages look for a newer one this often; while there is none that costs them a 304.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The widget that pages embed: its launcher. It loads `/api/v1/widget/chat.js` once a visitor wants to chat. `If-None-Match` is answered,
/// and brotli or gzip is sent where it is taken.
#[utoipa::path(
    get, path = "/widget.js", tag = "visitors",
    responses(
        (status = 200, description = "The script", body = String, content_type = "text/javascript"),
        (status = 304, description = "It is the one that is known"),
    )
)]
pub(super) async fn script(request: Request) -> Response {
    answer(&WIDGET, &request)
}

/// The chat itself, as a module that the widget loads. While a relay is upgraded, each works with the other of another version.
#[utoipa::path(
    get, path = "/api/v1/widget/chat.js", tag = "visitors",
    responses(
        (status = 200, description = "The module", body = String, content_type = "text/javascript"),
        (status = 304, description = "It is the one that is known"),
    )
)]
pub(super) async fn chat(request: Request) -> Response {
    answer(&CHAT, &request)
}

/// The widget's texts in a language other than English, which the script has itself.
#[utoipa::path(
    get, path = "/api/v1/widget/texts/{file}", tag = "visitors",
    params(("file" = String, Path, description = "The language and `.json`: `de.json`")),
    responses(
        (status = 200, description = "Texts by their names; a text that counts has a form for each plural of its language", body = Object),
        (status = 304, description = "They are the ones that are known"),
        (status = 404, description = "`not_found`: there are none in this language", body = Failure),
    )
)]
pub(super) async fn texts(Path(file): Path<String>, request: Request) -> Response {
    match file.strip_suffix(".json").and_then(|language| TEXTS.get(language)) {
        Some(asset) => answer(asset, &request),
        None => {
            let mut languages: Vec<_> = TEXTS.keys().copied().collect();
            languages.sort_unstable();
            let message =
                format!("The widget has no such texts. There are: {}, each as <language>.json.", languages.join(", "));
            ApiError::new(wire::ErrorCode::NotFound, message).into_response()
        }
    }
}

fn answer(asset: &Asset, request: &Request) -> Response {
    let mut response = asset.answer(request.headers(), CACHE);
    let headers = response.headers_mut();
    // It is everybody's: pages that isolate themselves, or check its integrity, may load it too.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

/// A language's texts, as far as the launcher needs them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileTexts {
    open_chat: String,
    dismiss_greeting: String,
    default_greeting: String,
}

/// What a tenant's greeting is until the tenant writes its own.
const DEFAULT_GREETING: &str = "Hello! How can we help?";

/// What the launcher needs of each language, read once.
static LAUNCHER: LazyLock<HashMap<&'static str, FileTexts>> = LazyLock::new(|| {
    let english = FileTexts {
        open_chat: "Open chat".to_owned(),
        dismiss_greeting: "Dismiss".to_owned(),
        default_greeting: DEFAULT_GREETING.to_owned(),
    };
    let read = |file| serde_json::from_slice(file).expect("the texts are part of the binary");
    FILES.iter().map(|(language, file)| (*language, read(file))).chain([(ENGLISH, english)]).collect()
});

const ENGLISH: &str = "en";

/// Languages that are written from right to left, also those that there are no texts of.
const RIGHT_TO_LEFT: [&str; 11] = ["ar", "he", "iw", "fa", "ur", "ps", "sd", "ug", "yi", "dv", "ckb"];

/// What the launcher says on a page of this locale. A greeting that the tenant wrote stays as it is.
pub(super) fn launcher_texts(locale: &str, own_greeting: Option<&str>) -> LauncherTexts {
    let locale = locale.to_ascii_lowercase();
    let language = language_of(&locale);
    let FileTexts { open_chat, dismiss_greeting, default_greeting } = &LAUNCHER[language];
    let primary = locale.split_once('-').map_or(locale.as_str(), |(primary, _)| primary);
    let own_greeting = own_greeting.filter(|own| !own.is_empty() && *own != DEFAULT_GREETING);
    LauncherTexts {
        language,
        direction: if RIGHT_TO_LEFT.contains(&primary) { "rtl" } else { "ltr" },
        open_chat: open_chat.clone(),
        dismiss_greeting: dismiss_greeting.clone(),
        greeting: own_greeting.unwrap_or(default_greeting).to_owned(),
    }
}

/// The longest beginning of a locale in lower case that there are texts of; English, where there is none.
fn language_of(locale: &str) -> &'static str {
    // These read traditional characters; the texts are in simplified ones.
    let reads = |beginning| locale.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if ["zh-hant", "zh-tw", "zh-hk", "zh-mo"].into_iter().any(reads) {
        return ENGLISH;
    }
    let mut beginnings = std::iter::successors(Some(locale), |longer| Some(longer.rsplit_once('-')?.0));
    let found = beginnings.find_map(|beginning| LAUNCHER.get_key_value(beginning));
    found.map_or(ENGLISH, |(language, _)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_speaks_the_language_of_the_page_as_the_chat_does() {
        let language = |locale: &str| launcher_texts(locale, None).language;
        assert_eq!(["de", "de-CH", "DE-ch-1996"].map(language), ["de"; 3]);
        assert_eq!(["en-GB", "xx", "", "zh-Hant-TW", "zh-TW", "zh-hk"].map(language), ["en"; 6]);
        assert_eq!(["zh", "zh-Hans", "zh-CN"].map(language), ["zh"; 3]);
        assert_eq!(launcher_texts("de", None).open_chat, "Chat öffnen");
        assert_eq!(
            ["ar-EG", "he", "de", "xx"].map(|locale| launcher_texts(locale, None).direction),
            ["rtl", "rtl", "ltr", "ltr"]
        );
        let greeting = |own: &str| launcher_texts("de", Some(own)).greeting;
        assert_eq!(
            ["", DEFAULT_GREETING, "Moin!"].map(greeting),
            ["Hallo! Wie können wir helfen?", "Hallo! Wie können wir helfen?", "Moin!"]
        );
        let chats = include_str!("../../web/widget/src/locale.ts");
        let list = chats.split_once("RIGHT_TO_LEFT = new Set([").expect("the chat's list").1;
        let list = list.split_once(']').expect("its end").0.replace([' ', '"'], "");
        assert_eq!(list.split(',').collect::<Vec<_>>(), RIGHT_TO_LEFT);
        let english = include_str!("../../web/widget/src/locales/en.ts");
        let LauncherTexts { open_chat, dismiss_greeting, greeting, .. } = launcher_texts("en", None);
        for (name, text) in
            [("openChat", open_chat), ("dismissGreeting", dismiss_greeting), ("defaultGreeting", greeting)]
        {
            assert!(english.contains(&format!("  {name}: \"{text}\",")), "{name}: {text}");
        }
    }

    #[test]
    fn every_language_of_the_widget_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web/widget/locales");
        let files = std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").file_name());
        let mut there: Vec<_> = files.map(|name| name.to_string_lossy().replace(".json", "")).collect();
        there.sort_unstable();
        let mut served: Vec<_> = TEXTS.keys().copied().collect();
        served.sort_unstable();
        assert_eq!(served, there);
    }
}
