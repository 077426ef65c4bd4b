//! How mails of a brand look, and in which language a person reads them.

use crate::Locale;
use uuid::Uuid;
use weir_core::Map;
use weir_identity::{Account, Brand, Reader, membership};
use weir_resource::Snapshot;
use weir_store::StoreError;

/// What stands around the text of each mail.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// The reader's language.
    pub locale: &'static Locale,
    /// Name of the product.
    pub title: String,
    /// Address of a picture that mail programs can show; none for others, the title stands in its place.
    pub logo: Option<String>,
    /// Scheme, host and prefix of the site, without a slash at the end.
    pub base_url: String,
}

impl Letterhead {
    /// The letterhead of a brand at an address of the site.
    pub fn new(snapshot: &Snapshot, brand: Option<Uuid>, base_url: &str, locale: &'static Locale) -> Self {
        let brand = brand.and_then(|id| snapshot.get::<Brand>(id));
        let base_url = base_url.trim_end_matches('/').to_owned();
        match brand {
            None => Self { locale, title: Brand::of_domain("fallback").branding_title, logo: None, base_url },
            Some(brand) => Self {
                locale,
                title: brand.branding_title.clone(),
                logo: logo(&brand.branding_logo, &base_url),
                base_url,
            },
        }
    }

    /// The host people know the site by, with its port.
    pub fn host(&self) -> &str {
        let rest = self.base_url.split_once("://").map_or(self.base_url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }
}

/// An absolute address of a logo. Mail programs show no SVG, and a picture behind an address is all they fetch.
fn logo(name: &str, base_url: &str) -> Option<String> {
    let name = name.replace("%(theme)s", "light");
    let path = name.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    if ![".png", ".jpg", ".jpeg", ".gif"].iter().any(|ending| path.ends_with(ending)) {
        return None;
    }
    if name.starts_with("https://") || name.starts_with("http://") {
        return Some(name);
    }
    // The prefix is part of the path where the site makes the address itself.
    let origin = base_url.split_once("://").map(|(scheme, rest)| {
        let host = rest.split('/').next().unwrap_or_default();
        format!("{scheme}://{host}")
    })?;
    if name.starts_with('/') && !name.starts_with("//") {
        return Some(format!("{origin}{name}"));
    }
    Some(format!("{origin}/media/public/{name}"))
}

/// The language of a person: their own setting, that of their groups, the brand's, English. Without an account it costs
/// the same.
///
/// # Errors
/// Those of the store.
pub async fn locale_of(
    reader: impl Reader,
    account: Option<&Account>,
    brand: Option<&Brand>,
) -> Result<&'static Locale, StoreError> {
    let (id, own) = account.map_or((0, Map::new()), |a| (a.id, a.attributes.clone()));
    let of_brand = brand.map(|b| b.attributes.clone()).unwrap_or_default();
    let merged = membership::group_attributes(reader, id, &own, &of_brand).await?;
    let tag = merged.get("settings").and_then(|s| s.get("locale")?.as_str().map(str::to_owned)).unwrap_or_default();
    let fallback = brand.map(Brand::default_locale).unwrap_or_default();
    Ok(Locale::find(&tag).or_else(|| Locale::find(fallback)).unwrap_or_else(Locale::english))
}
