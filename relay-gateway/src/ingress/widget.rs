//! `/widget.js`: the widget that pages embed, and its texts in languages other than English. Both are built from `web/widget/` and part of
//! the binary.

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    extract::{Path, Request},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header};
use service::{ApiError, Failure};

use super::asset::Asset;

static WIDGET: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_bytes!("../../web/widget/dist/widget.js"), "text/javascript; charset=utf-8"));

/// By language.
static TEXTS: LazyLock<HashMap<&'static str, Asset>> = LazyLock::new(|| {
    macro_rules! texts {
        ($($language:literal),*) => {
            [$(($language, include_bytes!(concat!("../../web/widget/locales/", $language, ".json")).as_slice())),*]
        };
    }
    let files = texts!["ar", "de", "es", "fr", "it", "ja", "nl", "pl", "pt", "tr", "zh"];
    files.into_iter().map(|(language, bytes)| (language, Asset::new(bytes, "application/json"))).collect()
});

/// Pages look for a newer one this often; while there is none that costs them a 304.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The widget that pages embed. `If-None-Match` is answered, and gzip is sent where it is taken.
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

#[cfg(test)]
mod tests {
    use super::*;

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
