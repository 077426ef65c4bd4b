//! Parameters of lists that follow no single field, on a whole server.

use serde_json::{Value, json};
use uuid::Uuid;

use super::stand::{Stand, column};

impl Stand {
    /// A field of what a list finds.
    async fn listed(&self, path: &str, field: &str) -> Vec<String> {
        column(&self.get(&self.admin, path).await.expect(200), field)
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        self.post(&self.admin, path, body).await.expect(201)
    }
}

#[tokio::test]
async fn bindings_are_found_by_either_name_of_their_target() {
    let stand = Stand::start().await;
    let mut made = Vec::new();
    for (name, order) in [("guard one", 7), ("guard two", 8)] {
        let body = json!({"name": name, "slug": format!("f{order}"), "title": "t", "designation": "authorization"});
        let flow = stand.made("/flows/instances/", body).await;
        let policy = stand.made("/policies/dummy/", json!({"name": name})).await;
        let body = json!({"target": flow["pk"], "policy": policy["pk"], "order": order});
        stand.made("/policies/bindings/", body).await;
        made.push(flow);
    }
    let by = |name: &str, flow: &Value, field: &str| format!("{name}={}", flow[field].as_str().unwrap());
    let (one, two) = (&made[0], &made[1]);
    let nobody = Uuid::nil();
    for (query, wanted) in [
        (by("target", one, "pk"), vec!["7"]),
        (by("target", one, "policybindingmodel_ptr_id"), vec!["7"]),
        (by("target_in", two, "policybindingmodel_ptr_id"), vec!["8"]),
        (format!("{}&{}", by("target_in", one, "pk"), by("target_in", two, "pk")), vec!["7", "8"]),
        (format!("{}&{}", by("target", one, "pk"), by("target_in", two, "pk")), vec![]),
        (format!("target_in={nobody}"), vec![]),
        (format!("target={nobody}"), vec![]),
        ("search=GUARD%20two".to_owned(), vec!["8"]),
        ("search=guard&ordering=-order".to_owned(), vec!["8", "7"]),
        ("search=nowhere".to_owned(), vec![]),
    ] {
        assert_eq!(stand.listed(&format!("/policies/bindings/?{query}"), "order").await, wanted, "{query}");
    }
    let odd = stand.get(&stand.admin, "/policies/bindings/?target_in=odd").await.expect(400);
    assert_eq!(odd, json!({"target_in": ["Enter a valid UUID."]}));
}

#[tokio::test]
async fn lists_are_ordered_by_key() {
    let stand = Stand::start().await;
    for name in ["b", "a", "c"] {
        stand.made("/policies/dummy/", json!({"name": name})).await;
    }
    for (path, field) in [("/policies/dummy/", "pk"), ("/core/users/", "pk"), ("/rbac/roles/", "pk")] {
        for name in ["x", "y", "z"] {
            if path == "/rbac/roles/" {
                stand.made(path, json!({"name": name})).await;
            } else if path == "/core/users/" {
                stand.made(path, json!({"name": name, "username": name})).await;
            }
        }
        let up = stand.listed(&format!("{path}?ordering={field}&page_size=100"), field).await;
        let mut down = stand.listed(&format!("{path}?ordering=-{field}&page_size=100"), field).await;
        down.reverse();
        assert!(up.len() >= 3 && up == down, "{path}: {up:?} {down:?}");
        let numbers: Option<Vec<i64>> = up.iter().map(|key| key.parse().ok()).collect();
        assert!(numbers.map_or_else(|| up.is_sorted(), |numbers| numbers.is_sorted()), "{path}: {up:?}");
    }
}
