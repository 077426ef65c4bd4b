//! A flow as a Mermaid chart.

use crate::{Flow, FlowAuthentication, planner};
use std::fmt::Write as _;
use uuid::Uuid;
use weir_policy::PolicyBinding;
use weir_resource::{Object, Snapshot};

/// Text inside quotes of the chart.
fn quoted(text: &str) -> String {
    text.replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}

/// The policies bound to a target that the caller may view, in order, with the binding's order.
fn policies<'s>(snapshot: &'s Snapshot, target: Uuid, may_view: &dyn Fn(&Object) -> bool) -> Vec<(i32, &'s Object)> {
    let mut bindings = snapshot.referring_by::<PolicyBinding>(target, "target");
    bindings.sort_by_key(|(id, b)| (b.order, *id));
    bindings
        .iter()
        .filter_map(|(_, b)| Some((b.order, &**snapshot.find(*b.policy.as_ref()?.pk())?)))
        .filter(|(_, object)| may_view(object))
        .collect()
}

/// The chart of a flow; objects the caller may not view are left out.
pub fn diagram(snapshot: &Snapshot, flow_id: Uuid, flow: &Flow, may_view: &dyn Fn(&Object) -> bool) -> String {
    let mut nodes: Vec<String> = Vec::new();
    let mut edges: Vec<String> = Vec::new();
    // The element the next one hangs on, with the label of the edge.
    let mut previous: Option<(String, Option<&str>)> = None;
    let link = |edges: &mut Vec<String>, previous: &Option<(String, Option<&str>)>, to: &str| {
        if let Some((from, label)) = previous {
            edges.push(match label {
                Some(label) => format!("{from} --{label}--> {to}"),
                None => format!("{from} --> {to}"),
            });
        }
    };
    if flow.authentication != FlowAuthentication::None {
        let value = serde_json::to_value(flow.authentication).ok();
        let value = value.as_ref().and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        nodes.push(format!("flow_auth_requirement[\"Flow authentication requirement\\n{value}\"]"));
        edges.push("flow_auth_requirement --Requirement not fulfilled--> done".to_owned());
        previous = Some(("flow_auth_requirement".to_owned(), Some("Requirement fulfilled")));
    }
    let before = policies(snapshot, flow_id, may_view);
    if !before.is_empty() {
        nodes.push("flow_pre[[\"Pre-flow policies\"]]".to_owned());
        link(&mut edges, &previous, "flow_pre");
        for (i, (order, policy)) in before.iter().enumerate() {
            let name = format!("flow_policy_{i}");
            nodes.push(format!("{name}{{{{\"Policy ({})\\n{}\"}}}}", policy.kind.verbose_name, quoted(&policy.name())));
            edges.push(format!("flow_pre --Binding {order}--> {name}"));
            edges.push(format!("{name} --Policy denied--> done"));
            edges.push(format!("{name} --Policy passed--> flow_start"));
        }
        previous = None;
    }
    nodes.push(format!("flow_start[[\"Flow\\n{}\"]]", quoted(&flow.name)));
    link(&mut edges, &previous, "flow_start");
    previous = Some(("flow_start".to_owned(), None));
    for (i, (binding_id, binding)) in planner::bindings(snapshot, flow_id).iter().enumerate() {
        let Some(stage) = snapshot.find(*binding.stage.pk()).filter(|s| may_view(s)) else { continue };
        let name = format!("stage_{i}");
        nodes.push(format!("{name}([\"Stage ({})\\n{}\"])", stage.kind.verbose_name, quoted(&stage.name())));
        let guards = policies(snapshot, *binding_id, may_view);
        for (j, (_, policy)) in guards.iter().enumerate() {
            let guard = format!("{name}_policy_{j}");
            nodes.push(format!(
                "{guard}{{{{\"Policy ({})\\n{}\"}}}}",
                policy.kind.verbose_name,
                quoted(&policy.name())
            ));
            link(&mut edges, &previous, &guard);
            edges.push(format!("{guard} --Policy passed--> {name}"));
            previous = Some((guard, Some("Policy denied")));
        }
        if guards.is_empty() {
            link(&mut edges, &previous, &name);
        } else if let Some((guard, _)) = &previous {
            // A refused stage is skipped: the flow goes on behind it.
            let guard = guard.clone();
            edges.push(format!("{guard} --Policy denied--> {}", next_name(snapshot, flow_id, i)));
        }
        previous = Some((name, None));
    }
    nodes.push("done[[\"End of the flow\"]]".to_owned());
    link(&mut edges, &previous, "done");
    let mut text = "graph TD\n".to_owned();
    for line in nodes.iter().chain(&edges) {
        let _: std::fmt::Result = writeln!(text, "{line}");
    }
    text
}

fn next_name(snapshot: &Snapshot, flow: Uuid, at: usize) -> String {
    if at + 1 < planner::bindings(snapshot, flow).len() { format!("stage_{}", at + 1) } else { "done".to_owned() }
}
