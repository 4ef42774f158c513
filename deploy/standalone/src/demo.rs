//! `/demo`: a page of a shop that has the widget, for who wants to see it before pasting it anywhere. It makes nothing: the
//! tenant is the newest there is.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{Request as HttpRequest, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, header};
use proto::admin::v1::{ListTenantsRequest, Tenant, tenant_admin_client::TenantAdminClient};
use secrecy::{ExposeSecret as _, SecretString};
use service::{ApiError, laptop::Exposure};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use wire::{
    ErrorCode,
    origin::{Origin, OriginPattern},
};

use crate::next_steps::NextSteps;

pub(crate) mod hosts;

use hosts::OwnHosts;

const PAGE: &str = include_str!("demo/page.html");
const ICON: &str = include_str!("demo/icon.svg");
const STYLE: &str = include_str!("demo/style.css");

/// Strict, as a careful tenant's page would be: the widget works under it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// Tenants that are looked through for one that is not suspended.
const LOOKED_THROUGH: u32 = 50;

/// Why the page cannot ask for tenants.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAdmin {
    /// The address.
    #[error(transparent)]
    Address(#[from] tonic::transport::Error),
    /// The key.
    #[error("the admin key cannot travel in a header")]
    Key,
}

#[derive(Clone)]
struct Demo {
    tenants: TenantAdminClient<Channel>,
    key: MetadataValue<Ascii>,
    next_steps: NextSteps,
}

/// The page and its style, over the admin service's gRPC: under the listener's own hosts, for requests that `exposure` admits.
pub(crate) fn router(
    admin: SocketAddr,
    key: &SecretString,
    hosts: OwnHosts,
    exposure: Exposure,
    next_steps: NextSteps,
) -> Result<Router, InvalidAdmin> {
    let tenants = TenantAdminClient::new(Endpoint::from_shared(format!("http://{admin}"))?.connect_lazy());
    let mut key: MetadataValue<Ascii> = key.expose_secret().parse().map_err(|_| InvalidAdmin::Key)?;
    key.set_sensitive(true);
    Ok(Router::new()
        .route("/demo", get(page))
        .route("/demo/style.css", get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/demo/icon.svg", get(|| async { ([(header::CONTENT_TYPE, "image/svg+xml")], ICON) }))
        .layer(middleware::from_fn(move |request: HttpRequest, next: Next| {
            let admitted = admit(&hosts, exposure, &request);
            async move {
                match admitted {
                    Ok(()) => next.run(request).await,
                    Err(error) => error.into_response(),
                }
            }
        }))
        .with_state(Demo { tenants, key, next_steps }))
}

fn admit(hosts: &OwnHosts, exposure: Exposure, request: &HttpRequest) -> Result<(), ApiError> {
    let refused = |message| Err(ApiError::new(ErrorCode::NotFound, message));
    if !exposure.admits(request.headers()) {
        return refused(
            "The demo page is not shown to a request that came through a proxy (it has Forwarded or X-Forwarded-*). Set \
             demo_page = true to show it.",
        );
    }
    if !hosts.has(request.uri(), request.headers()) {
        return refused(
            "The demo page is shown under this listener's own addresses and localhost alone, with its port. To reach it under \
             another name, set relay_url to that.",
        );
    }
    Ok(())
}

async fn page(State(mut demo): State<Demo>, headers: HeaderMap) -> Result<Response, ApiError> {
    let mut request = Request::new(ListTenantsRequest { limit: LOOKED_THROUGH, cursor: String::new() });
    request.metadata_mut().insert("x-admin-key", demo.key.clone());
    let listed = demo.tenants.list_tenants(request).await.map_err(|status| {
        ApiError::new(ErrorCode::DirectoryUnavailable, "The admin service gives no answer right now. Reload the page.")
            .retry_after_seconds(1)
            .caused_by(status)
    })?;
    let newest = listed.into_inner().items.into_iter().find(|tenant| tenant.status == "active");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    Ok((headers, render(newest.as_ref(), host, &demo.next_steps.seen_at(host))).into_response())
}

/// Text as HTML shows it, also within quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn render(tenant: Option<&Tenant>, host: &str, next_steps: &NextSteps) -> String {
    let fill = |name: &str, hint: &str, code: &str, widget: &str| fill(next_steps.path(), name, hint, code, widget);
    let Some(tenant) = tenant else {
        return fill(
            "Your shop",
            "There is no tenant yet. Provision one, and reload this page:",
            &format!(
                "export BASE_URL={}\n# The operators' key; this is where a generated one is by default.\nexport \
                 ADMIN_API_KEY=\"$(cat data/admin.key)\"\n{}",
                next_steps.base_url(),
                next_steps.provision()
            ),
            "",
        );
    };
    let settings = tenant.settings.clone().unwrap_or_default();
    let name = settings.tenant_name.as_deref().unwrap_or("Your shop");
    if !allows(&settings.allowed_origins, host) {
        return fill(
            name,
            "This page's origin is not among the newest tenant's allowed_origins. Add it to them, and reload this page:",
            &format!(
                "curl \"{}/api/v1/update/tenant?tenant_id={}\" -X POST \\\n  -H \"X-Admin-Key: $ADMIN_API_KEY\" \
                 -H \"Content-Type: application/json\" \\\n  -d '{{\"allowed_origins\": [\"{}\", \"… those it has\"]}}'",
                next_steps.admin_base(),
                tenant.tenant_id,
                next_steps.origin()
            ),
            "",
        );
    }
    let tenant_id = format!("data-tenant-id=\"{}\"", escaped(&tenant.tenant_id));
    let key = format!("data-public-key=\"{}\" async></script>", escaped(&tenant.widget_public_key));
    fill(
        name,
        "The chat in the corner comes from one tag. Paste it into any page of an allowed origin:",
        &format!("<script src=\"{}\"\n  {tenant_id}\n  {key}", next_steps.widget_url()),
        &format!("<script src=\"{}/widget.js\" {tenant_id} {key}", escaped(next_steps.path())),
    )
}

/// Whether pages of this host are let in, however they were reached.
fn allows(patterns: &[String], host: &str) -> bool {
    let origins = ["http", "https"].map(|scheme| format!("{scheme}://{host}").parse::<Origin>());
    let patterns: Vec<OriginPattern> = patterns.iter().filter_map(|pattern| pattern.parse().ok()).collect();
    origins.iter().flatten().any(|origin| patterns.iter().any(|pattern| pattern.matches(origin)))
}

/// `widget` is HTML; all else is text.
fn fill(path: &str, name: &str, hint: &str, code: &str, widget: &str) -> String {
    let mut parts = PAGE.split("{{");
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // In one pass: what is filled in is not looked into.
        let (place, rest) = part.split_once("}}").unwrap_or(("", part));
        match place {
            "path" => page.push_str(&escaped(path)),
            "name" => page.push_str(&escaped(name)),
            "hint" => page.push_str(&escaped(hint)),
            "code" => page.push_str(&escaped(code)),
            // Without a chat, what to do comes first.
            "state" => page.push_str(if widget.is_empty() { "waiting" } else { "open" }),
            "widget" => page.push_str(widget),
            _ => debug_assert!(false, "the page has no {place}"),
        }
        page.push_str(rest);
    }
    page
}

#[cfg(test)]
mod tests {
    use proto::admin::v1::TenantSettings;

    use super::*;

    fn render(tenant: Option<&Tenant>, host: &str) -> String {
        render_with(None, tenant, host)
    }

    fn render_with(relay_url: Option<&str>, tenant: Option<&Tenant>, host: &str) -> String {
        let (relay, admin) = (SocketAddr::from(([127, 0, 0, 1], 7811)), SocketAddr::from(([127, 0, 0, 1], 7812)));
        let url = relay_url.map(|url| url.parse().expect("a URL"));
        super::render(tenant, host, &NextSteps::new(relay, admin, url.as_ref(), Exposure::Direct).seen_at(host))
    }

    fn tenant(name: &str, origins: &[&str]) -> Tenant {
        let settings = TenantSettings {
            tenant_name: Some(name.to_owned()),
            allowed_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..Default::default()
        };
        Tenant {
            tenant_id: "t1".to_owned(),
            widget_public_key: "pk_1".to_owned(),
            settings: Some(settings),
            ..Default::default()
        }
    }

    #[test]
    fn it_has_the_widget_where_it_is_allowed_and_says_what_to_do_where_it_is_not() {
        let shown = render(Some(&tenant("Shop", &["http://127.0.0.1:7811"])), "127.0.0.1:7811");
        assert!(shown.contains("<script src=\"/widget.js\" data-tenant-id=\"t1\" data-public-key=\"pk_1\" async>"));
        let elsewhere = render(Some(&tenant("Shop", &["https://shop.demo.com"])), "127.0.0.1:7811");
        assert!(
            !elsewhere.contains("<script src=\"/widget.js\"")
                && elsewhere.contains("/api/v1/update/tenant?tenant_id=t1")
        );
        let nobody = render(None, "127.0.0.1:7811");
        assert!(!nobody.contains("<script src=\"/widget.js\"") && nobody.contains("provision-tenant.py"));
    }

    #[test]
    fn behind_relay_url_it_shows_the_addresses_that_browsers_reach() {
        let origin = "https://chat.example.com";
        for relay_url in ["https://chat.example.com/relay", "https://chat.example.com/relay/", origin] {
            let path = if relay_url == origin { "" } else { "/relay" };
            let render = |tenant: Option<&Tenant>, host: &str| render_with(Some(relay_url), tenant, host);
            let let_in = tenant("Shop", &[origin, "http://localhost:7811"]);
            for host in ["chat.example.com", "chat.example.com:443"] {
                let shown = render(Some(&let_in), host);
                let line = format!("&lt;script src=&quot;{origin}{path}/widget.js&quot;\n");
                assert!(shown.contains(&line) && !shown.contains("http://chat.example.com"), "{line} in {shown}");
                for own in [
                    format!("<script src=\"{path}/widget.js\" data-tenant-id"),
                    format!("href=\"{path}/demo/style.css\""),
                    format!("href=\"{path}/demo/icon.svg\""),
                ] {
                    assert!(shown.contains(&own), "{own} in {shown}");
                }
                let refused = render(Some(&tenant("Shop", &[])), host);
                let hint = format!("[&quot;{origin}&quot;, ");
                assert!(refused.contains(&hint), "{hint} in {refused}");
            }
            // This listener's own hosts are reached without the proxy: another origin, and no path.
            let shown = render(Some(&let_in), "localhost:7811");
            assert!(shown.contains(&format!("src=&quot;{origin}{path}/widget.js&quot;")), "{shown}");
            assert!(
                shown.contains("<script src=\"/widget.js\" ") && shown.contains("href=\"/demo/style.css\""),
                "{shown}"
            );
            let refused = render(Some(&tenant("Shop", &[origin])), "localhost:7811");
            assert!(refused.contains("[&quot;http://localhost:7811&quot;, "), "{refused}");
        }
    }

    #[test]
    fn nothing_anybody_named_is_html() {
        let hostile = "<script>alert(1)</script>\"'&";
        for shown in [
            render(Some(&tenant(hostile, &["http://h"])), "h"),
            render(Some(&tenant(hostile, &[])), hostile),
            render(None, hostile),
        ] {
            assert!(!shown.contains("<script>alert"), "{shown}");
        }
        let shown = render(Some(&tenant("{{widget}}", &["http://h"])), "h");
        assert_eq!(shown.matches("data-public-key=\"pk_1\"").count(), 1, "what is filled in is not looked into");
    }
}
