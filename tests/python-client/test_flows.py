"""Flows, stages, bindings and policies: built through the API, walked through the executor."""

import authentik_client as ak
import pytest


@pytest.fixture
def flow(api, unique):
    """A flow of its own for each test; deleted afterwards, which proves deletion each time."""
    flows = ak.FlowsApi(api)
    slug = unique("python")
    made = flows.flows_instances_create(
        ak.FlowRequest(name=slug, slug=slug, title="Tested", designation=ak.FlowDesignationEnum.STAGE_CONFIGURATION)
    )
    yield made
    flows.flows_instances_destroy(slug)
    with pytest.raises(ak.exceptions.NotFoundException):
        flows.flows_instances_retrieve(slug)


def bind(api, flow, stage, order=0):
    return ak.FlowsApi(api).flows_bindings_create(
        ak.FlowStageBindingRequest(target=flow.pk, stage=stage.pk, order=order)
    )


def test_a_flow_is_listed_and_changed(api, flow):
    flows = ak.FlowsApi(api)
    listed = flows.flows_instances_list(slug=flow.slug)
    assert [found.pk for found in listed.results] == [flow.pk]
    changed = flows.flows_instances_partial_update(flow.slug, patched_flow_request=ak.PatchedFlowRequest(title="Other"))
    assert (changed.title, changed.name) == ("Other", flow.name)


def test_a_slug_is_taken_only_once(api, flow):
    with pytest.raises(ak.exceptions.BadRequestException) as refused:
        ak.FlowsApi(api).flows_instances_create(
            ak.FlowRequest(name="x", slug=flow.slug, title="x", designation=ak.FlowDesignationEnum.RECOVERY)
        )
    assert '"slug"' in refused.value.body


def test_a_stage_names_the_binding_that_uses_it(api, flow, unique):
    stages = ak.StagesApi(api)
    stage = stages.stages_dummy_create(ak.DummyStageRequest(name=unique("dummy")))
    binding = bind(api, flow, stage)
    used_by = stages.stages_dummy_used_by_list(stage.pk)
    assert str(binding.pk) in [user.pk for user in used_by]
    assert ak.FlowsApi(api).flows_instances_retrieve(flow.slug).stages == [stage.pk]


def test_an_identified_visitor_reaches_the_end(api, flow, unique, browser):
    stage = ak.StagesApi(api).stages_identification_create(
        ak.IdentificationStageRequest(name=unique("identification"), user_fields=[ak.UserFieldsEnum.USERNAME])
    )
    bind(api, flow, stage)
    query = "next=%2Fif%2Fuser%2F"
    challenge = browser.get(flow.slug, query)
    assert isinstance(challenge, ak.IdentificationChallenge)
    assert challenge.user_fields == ["username"]
    end = browser.solve(flow.slug, ak.IdentificationChallengeResponseRequest(uid_field="akadmin"), query)
    assert isinstance(end, ak.RedirectChallenge)
    assert (end.to, end.final_redirect) == ("/if/user/", True)


def test_a_missing_answer_is_named(api, flow, unique, browser):
    stage = ak.StagesApi(api).stages_identification_create(
        ak.IdentificationStageRequest(name=unique("identification"), user_fields=[ak.UserFieldsEnum.USERNAME])
    )
    bind(api, flow, stage)
    browser.get(flow.slug)
    again = browser.solve(flow.slug, ak.IdentificationChallengeResponseRequest())
    assert isinstance(again, ak.IdentificationChallenge)
    assert again.response_errors


def test_a_deny_stage_says_why(api, flow, unique, browser):
    stage = ak.StagesApi(api).stages_deny_create(
        ak.DenyStageRequest(name=unique("deny"), deny_message="Closed on Sundays.")
    )
    bind(api, flow, stage)
    denied = browser.get(flow.slug)
    assert isinstance(denied, ak.AccessDeniedChallenge)
    assert denied.error_message == "Closed on Sundays."


def test_a_policy_leaves_a_stage_out(api, flow, unique, browser):
    stages, policies = ak.StagesApi(api), ak.PoliciesApi(api)
    deny = stages.stages_deny_create(ak.DenyStageRequest(name=unique("deny")))
    dummy = stages.stages_dummy_create(ak.DummyStageRequest(name=unique("dummy")))
    guarded = bind(api, flow, deny, 10)
    bind(api, flow, dummy, 20)
    policy = policies.policies_expression_create(
        ak.ExpressionPolicyRequest(name=unique("never"), expression="return len([1, 2]) > 2")
    )
    binding = policies.policies_bindings_create(
        ak.PolicyBindingRequest(policy=policy.pk, target=guarded.policybindingmodel_ptr_id, order=0)
    )
    assert str(binding.pk) in [user.pk for user in policies.policies_expression_used_by_list(policy.pk)]
    assert isinstance(browser.get(flow.slug), ak.DummyChallenge)
    end = browser.solve(flow.slug, ak.DummyChallengeResponseRequest())
    assert isinstance(end, ak.RedirectChallenge)
    policies.policies_expression_destroy(policy.pk)
    assert policies.policies_bindings_list(target=guarded.policybindingmodel_ptr_id).results == []
