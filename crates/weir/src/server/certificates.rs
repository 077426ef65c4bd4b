//! Tells of certificates that end soon or have ended: nobody looks at them until something no longer works.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use weir_core::Resource as _;
use weir_events::{Event, action};
use weir_pki::CertificateKeyPair;
use weir_resource::{Actor, Unit};
use weir_store::jobs::{JobCx, JobHandler, LogLevel};

use super::Core;

/// Actor of the schedule, which runs once a day.
pub const LOOK: &str = "look_at_certificates";

/// Days before the end on which it is told.
const BEFORE: [i64; 6] = [30, 14, 7, 3, 1, 0];

/// What is to be told of an end today. After the end it is told once a week.
fn due(end: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    match (end - now).num_seconds().div_euclid(24 * 3600) {
        days if BEFORE.contains(&days) => Some(format!("ends in {days} days")),
        days if days < 0 && (days + 1) % 7 == 0 => Some("has ended".to_owned()),
        _ => None,
    }
}

/// Handler of [`LOOK`].
pub struct Look(pub Arc<Core>);

#[async_trait]
impl JobHandler for Look {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let snapshot = self.0.site.snapshot();
        let mut unit = Unit::new(&self.0.site, Actor::system());
        let mut told = false;
        for (id, pair) in snapshot.all::<CertificateKeyPair>() {
            let Some((end, what)) = pair.cert_expiry.and_then(|end| Some((end, due(end, cx.now())?))) else { continue };
            let message = format!("The certificate {} {what} ({}).", pair.name, end.format("%Y-%m-%d %H:%M UTC"));
            cx.log(LogLevel::Warning, message.clone(), Value::Null);
            let (app, model) = CertificateKeyPair::MODEL.split_once('.').unwrap_or_default();
            let summary = json!({"app": app, "model_name": model, "pk": id.simple().to_string(), "name": pair.name});
            let context = json!({"message": message, "certificate": summary});
            unit.event(Event::new(action::CONFIGURATION_WARNING, app, context)).await?;
            told = true;
        }
        if told { Ok(unit.commit().await?) } else { Ok(unit.rollback().await?) }
    }
}

#[cfg(test)]
mod tests {
    use super::due;
    use chrono::{DateTime, TimeDelta};

    #[test]
    fn an_end_is_told_some_days_before_on_the_day_and_every_week_after() {
        let end = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        // A run a day, at the same hour.
        let days: Vec<i64> = (-20..40).filter(|days| due(end, end - TimeDelta::days(*days)).is_some()).collect();
        assert_eq!(days, [-15, -8, -1, 0, 1, 3, 7, 14, 30]);
        assert_eq!(due(end, end + TimeDelta::hours(1)).as_deref(), Some("has ended"));
        assert_eq!(due(end, end - TimeDelta::hours(200)), None);
    }
}
