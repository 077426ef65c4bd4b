//! What is answered without the interpreter is what the interpreter answers.

use crate::tests::{Ran, World, http};
use serde_json::{Value, json};

/// What a run says, whichever way it ends.
fn said(ran: &Ran) -> Result<(bool, Value), String> {
    ran.result.as_ref().map(|r| (r.passing, r.raw_result.clone())).map_err(ToString::to_string)
}

#[tokio::test]
async fn the_interpreter_agrees_with_what_is_answered_without_it() {
    let (world, alone) = (World::new().await, World::without_worker().await);
    world.people().await;
    alone.people().await;
    let simple = [
        "return True",
        "  # Länge\n\n# über\nreturn not False  # why\n",
        "return None",
        "return 'text'",
        "return ''",
        "return ak_is_sso_flow",
        "return not ak_is_sso_flow",
        "return context.get('x')",
        "return not context.get(\"x\")",
        "return\tnot context . get ( 'x' , 'y' )",
        "return request.context.get('x', {})",
        "return 'x' in context",
        "return \"x\" not in request.context",
        "return not 'x' in context.get('y', [])",
        "return 'x' in 'axb'",
        "return 'username' not in context.get(\"prompt_data\", {})",
        "return 'x' in context.get('x', {})",
    ];
    let contexts = [
        json!({}),
        json!({"x": null, "is_sso": true}),
        json!({"x": "x", "y": ["x", {"x": 1}], "is_sso": {}}),
        json!({"x": {"x": [1.5, true]}, "y": [], "prompt_data": {"username": ""}, "is_sso": 0}),
        json!({"x": ["x"], "prompt_data": {"app": "authentik_core", "model_name": "group", "pk": "x"}}),
        json!({"x": 7}),
    ];
    for source in simple {
        for context in &contexts {
            let here = said(&world.run_in(source, None, &http(), context.clone()).await);
            let there = said(&world.run_in(&format!("pass\n{source}"), None, &http(), context.clone()).await);
            assert_eq!(here, there, "{source} with {context}");
        }
        let context = json!({"x": {}, "y": {}, "prompt_data": {}});
        let ran = alone.run_in(source, None, &http(), context).await;
        assert!(ran.result.is_ok(), "{source} needs the interpreter: {}", ran.error());
    }
}

#[tokio::test]
async fn everything_else_is_left_to_the_interpreter() {
    let alone = World::without_worker().await;
    alone.people().await;
    for source in [
        "",
        "return",
        "returnTrue",
        " return True",
        "return True\nreturn True",
        "return not not True",
        "return True if context else False",
        "return f'{context}'",
        "return b''",
        "return 'a' 'b'",
        "return '''a'''",
        "return 'a\\n'",
        "return 'ä'",
        "return True\r",
        "return context",
        "return not context",
        "return context['x']",
        "return context.get('x').y",
        "return context.get('x') == 1",
        "return context.get(key)",
        "return context.get('flow_plan')",
        "return context.get('pending_user')",
        "return 'flow_plan' in context",
        "return 1 in context",
        "return True in context",
        "return 'x' in context.get('x')",
        "return 'x' in True",
        "return ak_is_sso_flow()",
        "return request.context.get('x', [1])",
        "return (True)",
        "return True; x = 1",
        "\"\"\"\n\"\"\"\nreturn True",
    ] {
        let error = alone.run_in(source, None, &http(), json!({"x": 1})).await;
        assert!(error.result.is_err(), "{source} was answered");
    }
}
