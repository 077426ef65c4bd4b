//! Flows, stages and their bindings: built through the API, walked through the executor.

use anyhow::Result;
use authentik_client::apis::configuration::Configuration;
use authentik_client::apis::{flows_api, policies_api, stages_api};
use authentik_client::models::{
    ChallengeTypes, DenyStageRequest, DummyChallengeResponseRequest, DummyStageRequest, ExpressionPolicyRequest, Flow,
    FlowChallengeResponseRequest, FlowDesignationEnum, FlowRequest, FlowStageBinding, FlowStageBindingRequest,
    IdentificationChallengeResponseRequest, IdentificationStageRequest, PatchedDummyStageRequest, PatchedFlowRequest,
    PolicyBindingRequest, UsedByActionEnum, UserFieldsEnum,
};
use official_client::{administrator, unique, visitor};

async fn new_flow(api: &Configuration, stem: &str) -> Result<Flow> {
    let slug = unique(stem);
    let request = FlowRequest::new(slug.clone(), slug, "A tested flow".into(), FlowDesignationEnum::StageConfiguration);
    Ok(flows_api::flows_instances_create(api, request).await?)
}

async fn bind(api: &Configuration, flow: &Flow, stage: uuid::Uuid, order: i32) -> Result<FlowStageBinding> {
    let request = FlowStageBindingRequest::new(flow.pk, stage, order);
    Ok(flows_api::flows_bindings_create(api, request).await?)
}

fn answer_dummy() -> Option<FlowChallengeResponseRequest> {
    Some(FlowChallengeResponseRequest::AkStageDummy(DummyChallengeResponseRequest::default()))
}

#[tokio::test]
async fn a_flow_is_created_listed_changed_and_deleted() -> Result<()> {
    let api = administrator()?;
    let flow = new_flow(&api, "rust-crud").await?;

    let listed =
        flows_api::flows_instances_list(&api, None, None, None, None, None, None, None, None, Some(&flow.slug)).await?;
    assert_eq!(listed.results.iter().map(|found| found.pk).collect::<Vec<_>>(), [flow.pk]);
    assert_eq!(listed.pagination.count, 1.0);

    let change = PatchedFlowRequest { title: Some("Another title".into()), ..PatchedFlowRequest::new() };
    let changed = flows_api::flows_instances_partial_update(&api, &flow.slug, Some(change)).await?;
    assert_eq!((changed.title.as_str(), changed.name), ("Another title", flow.name));

    flows_api::flows_instances_destroy(&api, &flow.slug).await?;
    let gone = flows_api::flows_instances_retrieve(&api, &flow.slug).await;
    assert!(gone.is_err_and(|error| error.to_string().contains("404")), "a deleted flow answers 404");
    Ok(())
}

#[tokio::test]
async fn a_stage_names_the_bindings_that_use_it() -> Result<()> {
    let api = administrator()?;
    let flow = new_flow(&api, "rust-used").await?;
    let stage = stages_api::stages_dummy_create(&api, DummyStageRequest::new(unique("dummy"))).await?;
    let binding = bind(&api, &flow, stage.pk, 10).await?;

    let users = stages_api::stages_dummy_used_by_list(&api, &stage.pk.to_string()).await?;
    assert!(
        users.iter().any(|user| user.pk == binding.pk.to_string() && user.action == UsedByActionEnum::Cascade),
        "{users:?}"
    );
    let flow = flows_api::flows_instances_retrieve(&api, &flow.slug).await?;
    assert_eq!(flow.stages, [stage.pk]);

    let name = unique("renamed");
    let change = PatchedDummyStageRequest { name: Some(name.clone()), ..PatchedDummyStageRequest::new() };
    let renamed = stages_api::stages_dummy_partial_update(&api, &stage.pk.to_string(), Some(change)).await?;
    assert_eq!(renamed.name, name);
    let listed = stages_api::stages_all_list(&api, Some(&name), None, None, None, None).await?;
    assert_eq!(listed.results.iter().map(|found| found.pk).collect::<Vec<_>>(), [stage.pk]);

    flows_api::flows_instances_destroy(&api, &flow.slug).await?;
    let users = stages_api::stages_dummy_used_by_list(&api, &stage.pk.to_string()).await?;
    assert!(users.is_empty(), "the flow took its bindings with it: {users:?}");
    stages_api::stages_dummy_destroy(&api, &stage.pk.to_string()).await?;
    Ok(())
}

#[tokio::test]
async fn a_flow_of_two_stages_is_walked_to_its_end() -> Result<()> {
    let api = administrator()?;
    let flow = new_flow(&api, "rust-walk").await?;
    let mut identification = IdentificationStageRequest::new(unique("identification"));
    identification.user_fields = Some(vec![UserFieldsEnum::Username]);
    let first = stages_api::stages_identification_create(&api, identification).await?;
    let second = stages_api::stages_dummy_create(&api, DummyStageRequest::new(unique("dummy"))).await?;
    bind(&api, &flow, first.pk, 10).await?;
    bind(&api, &flow, second.pk, 20).await?;

    let browser = visitor()?;
    let challenge = flows_api::flows_executor_get(&browser, &flow.slug, "next=%2Fif%2Fuser%2F").await?;
    let ChallengeTypes::AkStageIdentification(identification) = challenge else { panic!("{challenge:?}") };
    assert_eq!(identification.user_fields, Some(vec!["username".to_owned()]));

    let mut answer = IdentificationChallengeResponseRequest::new();
    answer.uid_field = Some(Some("akadmin".into()));
    let answer = Some(FlowChallengeResponseRequest::AkStageIdentification(answer));
    let challenge = flows_api::flows_executor_solve(&browser, &flow.slug, "next=%2Fif%2Fuser%2F", answer).await?;
    assert!(matches!(challenge, ChallengeTypes::AkStageDummy(_)), "{challenge:?}");

    let end = flows_api::flows_executor_solve(&browser, &flow.slug, "next=%2Fif%2Fuser%2F", answer_dummy()).await?;
    let ChallengeTypes::XakFlowRedirect(redirect) = end else { panic!("{end:?}") };
    assert_eq!((redirect.to.as_str(), redirect.final_redirect), ("/if/user/", Some(true)));
    Ok(())
}

#[tokio::test]
async fn an_empty_identification_is_refused_with_the_field_named() -> Result<()> {
    let api = administrator()?;
    let flow = new_flow(&api, "rust-invalid").await?;
    let mut identification = IdentificationStageRequest::new(unique("identification"));
    identification.user_fields = Some(vec![UserFieldsEnum::Username]);
    let stage = stages_api::stages_identification_create(&api, identification).await?;
    bind(&api, &flow, stage.pk, 10).await?;

    let browser = visitor()?;
    flows_api::flows_executor_get(&browser, &flow.slug, "").await?;
    let answer = FlowChallengeResponseRequest::AkStageIdentification(IdentificationChallengeResponseRequest::new());
    let challenge = flows_api::flows_executor_solve(&browser, &flow.slug, "", Some(answer)).await?;
    let ChallengeTypes::AkStageIdentification(again) = challenge else { panic!("{challenge:?}") };
    assert!(again.response_errors.is_some_and(|errors| !errors.is_empty()), "the answer names what is missing");
    Ok(())
}

#[tokio::test]
async fn a_deny_stage_ends_the_flow_with_its_message() -> Result<()> {
    let api = administrator()?;
    let flow = new_flow(&api, "rust-deny").await?;
    let mut stage = DenyStageRequest::new(unique("deny"));
    stage.deny_message = Some("Not through this door.".into());
    let stage = stages_api::stages_deny_create(&api, stage).await?;
    bind(&api, &flow, stage.pk, 0).await?;

    let challenge = flows_api::flows_executor_get(&visitor()?, &flow.slug, "").await?;
    let ChallengeTypes::AkStageAccessDenied(denied) = challenge else { panic!("{challenge:?}") };
    assert_eq!(denied.error_message.as_deref(), Some("Not through this door."));
    Ok(())
}

#[tokio::test]
async fn a_policy_bound_to_a_stage_decides_whether_it_is_shown() -> Result<()> {
    let api = administrator()?;
    let flow = new_flow(&api, "rust-policy").await?;
    let skipped = stages_api::stages_deny_create(&api, DenyStageRequest::new(unique("skipped"))).await?;
    let shown = stages_api::stages_dummy_create(&api, DummyStageRequest::new(unique("shown"))).await?;
    let guarded = bind(&api, &flow, skipped.pk, 10).await?;
    bind(&api, &flow, shown.pk, 20).await?;

    let expression = "return request.user.username == 'somebody-else'";
    let policy = ExpressionPolicyRequest::new(unique("never"), expression.into());
    let policy = policies_api::policies_expression_create(&api, policy).await?;
    let mut binding = PolicyBindingRequest::new(guarded.policybindingmodel_ptr_id, 0);
    binding.policy = Some(Some(policy.pk));
    let binding = policies_api::policies_bindings_create(&api, binding).await?;
    let used_by = policies_api::policies_expression_used_by_list(&api, &policy.pk.to_string()).await?;
    assert!(used_by.iter().any(|user| user.pk == binding.pk.to_string()), "{used_by:?}");

    let browser = visitor()?;
    let challenge = flows_api::flows_executor_get(&browser, &flow.slug, "").await?;
    assert!(matches!(challenge, ChallengeTypes::AkStageDummy(_)), "the denied stage is left out: {challenge:?}");
    let end = flows_api::flows_executor_solve(&browser, &flow.slug, "", answer_dummy()).await?;
    assert!(matches!(end, ChallengeTypes::XakFlowRedirect(_)), "{end:?}");
    Ok(())
}

#[tokio::test]
async fn the_diagram_names_every_stage() -> Result<()> {
    let api = administrator()?;
    let flow = new_flow(&api, "rust-diagram").await?;
    let stage = stages_api::stages_dummy_create(&api, DummyStageRequest::new(unique("drawn"))).await?;
    bind(&api, &flow, stage.pk, 0).await?;
    let diagram = flows_api::flows_instances_diagram_retrieve(&api, &flow.slug).await?.diagram;
    assert!(diagram.starts_with("graph TD") && diagram.contains(&stage.name), "{diagram}");
    Ok(())
}
