//! Where the files that visitors and operators send are kept, and where gateways serve them.

use secrecy::SecretString;
use service::config::{Read, Settings};
use url::Url;

use crate::files_url::FilesUrl;

/// Where files are kept, and where gateways serve them.
#[derive(Clone, Debug)]
pub struct FilesConfig {
    /// Where they are kept.
    pub url: FilesUrl,
    /// The relay's public URL.
    pub base_url: Url,
    /// How an S3-compatible store is reached, by the names that its clients know, such as `AWS_ACCESS_KEY_ID`.
    pub s3_options: Vec<(String, SecretString)>,
}

impl FilesConfig {
    /// With what the environment says of S3.
    #[must_use]
    pub fn new(url: FilesUrl, base_url: Url) -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let s3_options =
            variables.filter(|(name, _)| name.starts_with("AWS_")).map(|(name, value)| (name, value.into())).collect();
        Self { url, base_url, s3_options }
    }
}

/// What the settings say of it: where nothing is said, a folder beside the database.
#[derive(Clone, Debug)]
pub struct FilesSettings {
    /// Where files are kept, if not in the data directory.
    pub url: Option<FilesUrl>,
    /// The relay's public URL, if it is not known otherwise.
    pub base_url: Option<Url>,
}

impl FilesSettings {
    /// Reads it.
    ///
    /// # Errors
    /// Problems, already noted.
    pub fn read(settings: &mut Settings) -> Read<Self> {
        let url = settings.optional("attachments_url");
        let base_url = settings.optional::<PublicUrl>("attachments_base_url");
        Ok(Self { url: url?, base_url: base_url?.map(|url| url.0) })
    }
}

struct PublicUrl(Url);

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url =
            Url::parse(text).map_err(|error| format!("must be a URL such as https://chat.example.com ({error})"))?;
        if !matches!(url.scheme(), "http" | "https")
            || url.host().is_none()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err("must be an http or https URL without query and fragment".to_owned());
        }
        Ok(Self(url))
    }
}
