"""Users, groups, and policies tried on a user."""

import authentik_client as ak
import pytest


def test_a_user_is_created_found_changed_and_deleted(api, unique):
    users = ak.CoreApi(api)
    name = unique("python-user")
    user = users.core_users_create(ak.UserRequest(username=name, name="Python User"))
    assert [found.pk for found in users.core_users_list(search=name).results] == [user.pk]
    changed = users.core_users_partial_update(user.pk, ak.PatchedUserRequest(email="python@example.test"))
    assert (changed.email, changed.name) == ("python@example.test", "Python User")
    users.core_users_set_password_create(user.pk, ak.UserPasswordSetRequest(password="A-long-pass-phrase-7"))
    users.core_users_destroy(user.pk)
    with pytest.raises(ak.exceptions.NotFoundException):
        users.core_users_retrieve(user.pk)


def test_a_group_holds_its_members(api, unique):
    core = ak.CoreApi(api)
    group = core.core_groups_create(ak.GroupRequest(name=unique("python-group")))
    user = core.core_users_create(ak.UserRequest(username=unique("member"), name="Member", groups=[group.pk]))
    assert core.core_groups_retrieve(group.pk).users == [user.pk]
    core.core_groups_destroy(group.pk)
    assert core.core_users_retrieve(user.pk).groups == []


def test_the_token_is_the_administrators(api):
    me = ak.CoreApi(api).core_users_me_retrieve().user
    assert (me.username, me.is_superuser) == ("akadmin", True)


def test_without_credentials_the_answer_is_403(browser):
    with pytest.raises(ak.exceptions.ForbiddenException):
        ak.CoreApi(browser.client).core_users_list()


def test_an_expression_policy_is_tried_on_a_user(api, unique):
    policies = ak.PoliciesApi(api)
    user = ak.CoreApi(api).core_users_create(ak.UserRequest(username=unique("tried"), name="Tried"))
    policy = policies.policies_expression_create(
        ak.ExpressionPolicyRequest(
            name=unique("tried"), expression="ak_message(request.user.name)\nreturn request.user.pk > 0"
        )
    )
    result = policies.policies_all_test_create(policy.pk, ak.PolicyTestRequest(user=user.pk))
    assert (result.passing, result.messages) == (True, ["Tried"])
