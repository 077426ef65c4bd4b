//! Users and the policies that judge them.

use anyhow::Result;
use authentik_client::apis::{core_api, policies_api};
use authentik_client::models::{
    ExpressionPolicyRequest, PatchedUserRequest, PolicyTestRequest, UserPasswordSetRequest, UserRequest,
};
use official_client::{administrator, unique, visitor};

#[tokio::test]
async fn a_user_is_created_changed_given_a_password_and_deleted() -> Result<()> {
    let api = administrator()?;
    let name = unique("rust-user");
    let user = core_api::core_users_create(&api, UserRequest::new(name.clone(), "Rust User".into())).await?;
    assert_eq!((user.username.as_str(), user.is_superuser), (name.as_str(), false));

    let change = PatchedUserRequest { email: Some("rust@example.test".into()), ..PatchedUserRequest::new() };
    let changed = core_api::core_users_partial_update(&api, user.pk, Some(change)).await?;
    assert_eq!((changed.email.as_deref(), changed.name.as_str()), (Some("rust@example.test"), "Rust User"));

    let password = UserPasswordSetRequest::new("A-long-pass-phrase-7".into());
    core_api::core_users_set_password_create(&api, user.pk, password).await?;
    core_api::core_users_used_by_list(&api, user.pk).await?;

    core_api::core_users_destroy(&api, user.pk).await?;
    let gone = core_api::core_users_retrieve(&api, user.pk).await;
    assert!(gone.is_err_and(|error| error.to_string().contains("404")), "a deleted user answers 404");
    Ok(())
}

#[tokio::test]
async fn the_token_acts_as_the_administrator_and_nobody_acts_without_one() -> Result<()> {
    let me = core_api::core_users_me_retrieve(&administrator()?).await?;
    assert_eq!((me.user.username.as_str(), me.user.is_superuser), ("akadmin", true));
    let nobody = core_api::core_users_me_retrieve(&visitor()?).await;
    assert!(nobody.is_err_and(|error| error.to_string().contains("403")), "without credentials: 403");
    Ok(())
}

#[tokio::test]
async fn an_expression_policy_is_tried_on_a_user() -> Result<()> {
    let api = administrator()?;
    let user = core_api::core_users_create(&api, UserRequest::new(unique("tried"), "Tried".into())).await?;
    let expression = "ak_message('seen ' + request.user.name)\nreturn request.user.username.startswith('tried-')";
    let policy = ExpressionPolicyRequest::new(unique("tried"), expression.into());
    let policy = policies_api::policies_expression_create(&api, policy).await?;

    let result =
        policies_api::policies_all_test_create(&api, &policy.pk.to_string(), PolicyTestRequest::new(user.pk)).await?;
    assert_eq!((result.passing, result.messages), (true, vec!["seen Tried".to_owned()]));

    policies_api::policies_expression_destroy(&api, &policy.pk.to_string()).await?;
    core_api::core_users_destroy(&api, user.pk).await?;
    Ok(())
}
