"""The kit itself: a sign-in through the executor."""

from conftest import PASSWORD


def test_the_administrator_signs_in(start_server):
    browser = start_server().browser()
    slug = "default-authentication-flow"
    assert browser.get(slug)["component"] == "ak-stage-identification"
    assert browser.post(slug, {"uid_field": "akadmin"})["component"] == "ak-stage-password"
    assert browser.post(slug, {"password": PASSWORD})["component"] == "xak-flow-redirect"
    assert browser.me()["username"] == "akadmin"
