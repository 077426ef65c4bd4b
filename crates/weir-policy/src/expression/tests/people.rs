//! Users, groups and query sets.

use crate::{
    DummyPolicy,
    expression::{Authenticators, Expressions, KeptDevices},
    tests::{Door, World, http, pool, worker},
};
use async_trait::async_trait;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use weir_crypto::{HashCost, HashPool, Password, Salt};
use weir_identity::{
    accounts,
    device::{DeviceKind, static_codes},
    reputation,
};
use weir_resource::{Actor, Unit};
use weir_store::{StoreError, Tx};

#[tokio::test]
async fn users_have_the_attributes_people_use() {
    let world = World::new().await;
    world.people().await;
    world
        .give(&[
            ("u = request.user\nreturn [u.username, u.name, u.email, u.is_active, u.type, u.path, f'{u}']", json!(["ada", "ADA", "ada@Example.com", true, "internal", "users", "ada"])),
            ("u = request.user\nreturn [u.pk == u.id, len(u.uid), len(u.uuid), u.is_superuser, u.last_login]", json!([true, 64, 36, true, null])),
            ("return request.user.attributes['department']['name'] + str(request.user.attributes.get('none'))", json!("R&DNone")),
            ("return [request.user.date_joined.year > 2000, request.user.avatar.startswith('data:')]", json!([true, true])),
            ("return [ak_user_by(username='bob').locale(), request.user.locale()]", json!(["de", ""])),
            ("return [ak_user_by(username='bob').is_superuser, request.user.is_authenticated]", json!([false, true])),
            ("return request.user.group_attributes()", json!({"team": {"b": 2, "a": 1}, "level": 1, "department": {"name": "R&D"}, "quota": 5, "tags": ["x", "y"], "on": true})),
            ("return request.user.group_attributes(request.http_request).get('level')", json!(1)),
            ("return [hasattr(request.user, 'password'), hasattr(request.user, 'shoe'), getattr(request.user, 'shoe', 4)]", json!([false, false, 4])),
            ("return [request.user.sources.count(), list(request.user.app_entitlements(None)), request.user.app_entitlements_attributes(None)]", json!([0, [], {}])),
            ("return ak_user_has_authenticator(request.user, 'totp') or ak_user_has_authenticator(request.user)", json!(false)),
            ("return [t.identifier for t in request.user.token_set.all()]", json!([])),
        ])
        .await;
    world
        .raise(&[
            ("request.user.save()", "Expressions can read objects but not change them."),
            ("request.user.groups.add(1)", "Expressions can read objects but not change them."),
            ("request.user.check_password('x')", "Passwords cannot be checked here."),
        ])
        .await;
}

#[tokio::test]
async fn groups_are_reached_from_users_and_back() {
    let world = World::new().await;
    world.people().await;
    world
        .give(&[
            ("return [g.name for g in request.user.groups.all()]", json!(["admins"])),
            ("return [g.name for g in request.user.all_groups()]", json!(["admins", "staff"])),
            ("return request.user.ak_groups.filter(name='admins').exists()", json!(true)),
            ("return [ak_is_group_member(request.user, name='staff'), ak_is_group_member(request.user, name__startswith='x')]", json!([true, false])),
            ("return ak_is_group_member(ak_user_by(username='eve'), name='staff')", json!(false)),
            ("g = request.user.groups.first()\nreturn [g.is_superuser, g.attributes, [p.name for p in g.parents.all()], g.num_pk > 0]", json!([true, {"team": {"b": 2}}, ["staff"], true])),
            ("from authentik.core.models import Group\ng = Group.objects.get(name='staff')\nreturn [g.is_member(request.user), [c.name for c in g.children.all()], [u.username for u in g.users.all()]]", json!([true, ["admins"], ["bob"]])),
            ("from authentik.core.models import Group\nreturn [Group.objects.filter(users=request.user).count(), Group.objects.filter(parents__name='staff').first().name]", json!([1, "admins"])),
            ("return isinstance(request.user.groups.first(), type(request.user.groups.last()))", json!(true)),
        ])
        .await;
}

#[tokio::test]
async fn failures_of_names_and_addresses_can_be_counted() {
    let world = World::new().await;
    world.people().await;
    let mut tx = world.site.db.tx();
    let now = world.site.clock.now();
    for (name, ip) in [("ada", "192.0.2.1"), ("ada", "192.0.2.1"), ("bob", "192.0.2.1"), ("ada", "192.0.2.2")] {
        let limits = reputation::Limits::of(&world.site.snapshot().settings);
        reputation::add(&mut tx, &*world.site.random, now, (name, ip), -1, limits).await.unwrap();
    }
    tx.commit().await.unwrap();
    let counted = |rest: &str| format!("from authentik.policies.reputation.models import Reputation\nreturn {rest}");
    world
        .give(&[
            (&counted("sum(Reputation.objects.filter(ip='192.0.2.1').values_list('score', flat=True))"), json!(-3)),
            (
                &counted("[r.score for r in Reputation.objects.filter(identifier='ada').order_by('ip')]"),
                json!([-2, -1]),
            ),
        ])
        .await;
}

#[tokio::test]
async fn users_are_looked_up_as_in_django() {
    let world = World::new().await;
    world.people().await;
    let names = |conditions: &str| {
        format!(
            "from authentik.core.models import User\nfrom django.db.models import Q\nreturn list(User.objects.{conditions}.values_list('username', flat=True))"
        )
    };
    let cases = [
        ("filter(username='ada')", json!(["ada"])),
        ("filter(email='ada@example.com')", json!([])),
        ("filter(email__iexact='ADA@example.COM')", json!(["ada"])),
        ("filter(username__in=['ada', 'eve', 'zoe'])", json!(["ada", "eve"])),
        ("filter(username__in=[])", json!([])),
        ("filter(username__startswith='a')", json!(["ada"])),
        ("filter(username__startswith='A')", json!([])),
        ("filter(username__istartswith='A')", json!(["ada"])),
        ("filter(username__contains='%')", json!([])),
        ("filter(name__endswith='VE')", json!(["eve"])),
        ("filter(email__contains='example')", json!([])),
        ("filter(email__icontains='EXAMPLE')", json!(["ada", "bob", "eve"])),
        ("filter(pk=request.user)", json!(["ada"])),
        ("filter(pk=str(request.user.pk))", json!(["ada"])),
        ("filter(uuid=request.user.uuid)", json!(["ada"])),
        ("filter(last_login__isnull=True, username__gt='ada')", json!(["bob", "eve"])),
        ("filter(is_active=False)", json!([])),
        ("filter(date_joined__gte=request.user.date_joined)", json!(["ada", "bob", "eve"])),
        ("filter(date_joined__lt='2001-01-01')", json!([])),
        ("filter(attributes__department__name='R&D')", json!(["ada"])),
        ("filter(attributes__department__name__icontains='SAL')", json!(["bob"])),
        ("filter(attributes__department={'name': 'Sales'})", json!(["bob"])),
        ("filter(attributes__tags__contains='x')", json!(["ada"])),
        ("filter(attributes__tags__contains=['y', 'x'])", json!(["ada"])),
        ("filter(attributes__tags__contains='z')", json!([])),
        ("filter(attributes__contains={'quota': 5})", json!(["ada"])),
        ("filter(attributes__quota__gt=6)", json!(["bob"])),
        ("filter(attributes__quota__lte=5.5)", json!(["ada"])),
        ("filter(attributes__on=True)", json!(["ada"])),
        ("filter(attributes__quota__in=[5, 12])", json!(["ada", "bob"])),
        ("filter(attributes__has_key='tags')", json!(["ada"])),
        ("filter(attributes__tags__isnull=True)", json!(["bob", "eve"])),
        ("filter(groups__name='staff')", json!(["bob"])),
        ("filter(groups__name__in=['staff', 'admins'])", json!(["ada", "bob"])),
        ("filter(groups__parents__name='staff')", json!(["ada"])),
        ("filter(groups__attributes__level=1)", json!(["bob"])),
        ("filter(ak_groups__isnull=True)", json!(["eve"])),
        ("filter(groups=request.user.groups.first())", json!(["ada"])),
        ("exclude(groups__name='staff')", json!(["ada", "eve"])),
        ("exclude(attributes__quota=5)", json!(["bob", "eve"])),
        ("filter(Q(username='ada') | Q(username='eve'))", json!(["ada", "eve"])),
        ("filter(~Q(username='ada') & ~Q(username='eve'))", json!(["bob"])),
        ("filter(Q(username='ada') | Q(username='bob'), is_active=True).exclude(username='ada')", json!(["bob"])),
        ("order_by('-username')", json!(["eve", "bob", "ada"])),
        ("order_by('attributes__quota', 'username').filter(attributes__has_key='quota')", json!(["bob", "ada"])),
        ("reverse()", json!(["eve", "bob", "ada"])),
        ("none()", json!([])),
        ("all().distinct().select_related('groups')", json!(["ada", "bob", "eve"])),
    ];
    for (conditions, expected) in cases {
        let source = names(conditions);
        world.give(&[(source.as_str(), expected)]).await;
    }
}

#[tokio::test]
async fn query_sets_answer_in_every_shape() {
    let world = World::new().await;
    world.people().await;
    let import = "from authentik.core.models import User, Group, Token, Application\n";
    let cases = [
        (
            "return [User.objects.count(), User.objects.filter(username='x').exists(), len(User.objects.all())]",
            json!([3, false, 3]),
        ),
        ("return [u.username for u in User.objects.all()[1:]]", json!(["bob", "eve"])),
        ("return [User.objects.first().username, User.objects.last().username]", json!(["ada", "eve"])),
        ("return User.objects.filter(username='x').first()", json!(null)),
        (
            "return User.objects.values('username', 'attributes__quota').first()",
            json!({"username": "ada", "attributes__quota": 5}),
        ),
        ("return list(User.objects.values_list('pk', 'username'))[1][1]", json!("bob")),
        ("return list(User.objects.values_list('is_active', flat=True).distinct())", json!([true])),
        ("return sorted(Group.objects.values().first())", json!(["attributes", "group_uuid", "is_superuser", "name"])),
        (
            "return User.objects.latest('username').username + User.objects.earliest('username').username",
            json!("eveada"),
        ),
        ("return [Token.objects.count(), Application.objects.filter(slug='x').exists()]", json!([0, false])),
        ("g, made = Group.objects.get_or_create(name='staff')\nreturn [g.name, made]", json!(["staff", false])),
        (
            "try:\n    User.objects.get(username='zed')\nexcept User.DoesNotExist as e:\n    return str(e)",
            json!("User matching query does not exist."),
        ),
        (
            "try:\n    User.objects.get(is_active=True)\nexcept User.MultipleObjectsReturned as e:\n    return str(e)",
            json!("get() returned more than one User -- it returned 3!"),
        ),
        (
            "return User.objects.filter(is_active=True).exclude(username='ada').get(username__startswith='b').username",
            json!("bob"),
        ),
        ("return User.objects.filter(is_active=True).latest('username').username", json!("eve")),
        ("return [isinstance(request.user, User), User.objects.get(username='bob').pk > 0]", json!([true, true])),
        (
            "return [ak_user_by(username='nobody'), ak_user_by(shoe_size=4), ak_user_by(username__iexact='BOB').username]",
            json!([null, null, "bob"]),
        ),
    ];
    for (source, expected) in cases {
        world.give(&[(format!("{import}{source}").as_str(), expected)]).await;
    }
    world
        .raise(&[
            ("from authentik.core.models import User\nUser.objects.filter(password='x').count()", "Cannot resolve keyword 'password' into field. Choices are: ak_groups, attributes, date_joined, email, groups, id, is_active, last_login, last_updated, name, password_change_date, path, roles, security_epoch, token, type, username, uuid"),
            ("from authentik.core.models import User\nUser.objects.filter(id='x').count()", "Field 'id' expected a number but got 'x'."),
            ("from authentik.core.models import User\nUser.objects.filter(username__regex='x').count()", "Unsupported lookup 'regex'."),
            ("from authentik.core.models import User\nUser.objects.filter(username='a\\0').count()", "A string literal cannot contain NUL (0x00) characters."),
            ("from authentik.core.models import User\nUser.objects.create(username='x')", "Expressions can read objects but not change them."),
            ("from authentik.core.models import Token\nToken.objects.values_list('key', flat=True).first()", "Cannot resolve keyword 'key' into field. Choices are: description, expires, expiring, identifier, intent, managed, token_uuid, user, user_id"),
            ("from authentik.outposts.models import Outpost\nOutpost.objects.all()", "'Outpost' is not available to expressions."),
        ])
        .await;
}

#[tokio::test]
async fn configuration_can_be_asked_too() {
    let world = World::new().await;
    world.people().await;
    let dummy = world.create::<DummyPolicy>(json!({"name": "dummy", "wait_min": 7})).await.pk;
    world.create::<Door>(json!({"name": "Front", "guard": dummy})).await;
    world.create::<Door>(json!({"name": "back"})).await;
    let import = "from authentik.tests.models import Door\nfrom authentik.policies.models import Policy\n";
    let cases = [
        ("return [d.name for d in Door.objects.all()]", json!(["Front", "back"])),
        (
            "return [Door.objects.get(name__iexact='front').guard.name, Door.objects.get(name='back').guard]",
            json!(["dummy", null]),
        ),
        ("return Door.objects.get(guard__wait_min__gte=7).guard_id", json!(dummy)),
        ("return list(Door.objects.exclude(guard__isnull=True).values_list('name', flat=True))", json!(["Front"])),
        ("return list(Door.objects.order_by('-name').values('name'))", json!([{"name": "back"}, {"name": "Front"}])),
        ("return [Policy.objects.filter(name='dummy').count(), Policy.objects.first().wait_min]", json!([1, 7])),
        ("return Door.objects.filter(name__contains='ac').exists()", json!(true)),
    ];
    for (source, expected) in cases {
        world.give(&[(format!("{import}{source}").as_str(), expected)]).await;
    }
}

#[tokio::test]
async fn a_query_with_too_many_rows_is_refused() {
    let world = World::new().await;
    world.people().await;
    let mut tx = world.site.db.tx();
    for number in 0..1001 {
        let sql = "INSERT INTO identity_role (id, name) VALUES ($1, $2)";
        tx.write(sql, &[uuid::Uuid::from_u128(number).into(), format!("role {number}").into()]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let import = "from authentik.rbac.models import Role\n";
    world
        .give(&[(
            format!("{import}return [Role.objects.count(), Role.objects.first().name]").as_str(),
            json!([1001, "role 0"]),
        )])
        .await;
    let source = format!("{import}return len(Role.objects.all())");
    let text = "The query has more than 1000 rows: narrow it with filter(), or use count().";
    world.raise(&[(source.as_str(), text)]).await;
}

#[tokio::test]
async fn visitors_and_unknown_people_are_objects_too() {
    let world = World::new().await;
    world.people().await;
    let source = "u = request.user\nreturn [u.pk, u.username, u.is_authenticated, u.groups.all().exists(), \
                  [g.name for g in u.all_groups()], ak_is_group_member(u, name='staff'), u.attributes, type(u).__name__, u.is_superuser]";
    let visitor = world.run_in(source, None, &http(), json!({})).await;
    assert_eq!(visitor.value(), json!([null, "", false, false, [], false, {}, "AnonymousUser", false]));
    let claimed = json!({"pending_user": {"pk": null, "username": "zoe", "email": "zoe"}});
    let ran = world.run_in(source, None, &http(), claimed).await;
    assert_eq!(ran.value(), json!([null, "zoe", true, false, [], false, {}, "User", false]));
}

#[tokio::test]
async fn passwords_are_checked_on_the_pool_of_the_server() {
    let hashes = HashPool::with_cost(1, 8, Duration::from_secs(5), HashCost::CHEAP).unwrap();
    let salt = Salt::random(&mut weir_crypto::system_rng());
    let stored = hashes.hash(Password::new("secret").unwrap(), salt).await.unwrap();
    let world = World::with(Expressions::new(pool(worker())).with_hashes(Arc::new(hashes))).await;
    world.people().await;
    let (ada, mut tx) = (world.account("ada").await, world.site.db.tx());
    accounts::set_password_hash(&mut tx, ada.id, &stored, world.site.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    world
        .give(&[
            (
                "return [request.user.check_password('secret'), request.user.check_password('Secret')]",
                json!([true, false]),
            ),
            ("return request.user.check_password('x' * 5000)", json!(false)),
            ("return ak_user_by(username='eve').check_password('')", json!(false)),
            (
                "return [request.user.has_usable_password(), ak_user_by(username='eve').has_usable_password()]",
                json!([true, false]),
            ),
        ])
        .await;
}

struct Totp;

#[async_trait]
impl Authenticators for Totp {
    async fn has_confirmed(&self, _: &mut Tx, _: i64, kind: Option<&str>) -> Result<bool, StoreError> {
        Ok(kind.is_none_or(|kind| kind == "totp"))
    }
}

#[tokio::test]
async fn authenticators_are_asked_of_whoever_knows_them() {
    let world = World::with(Expressions::new(pool(worker())).with_authenticators(Arc::new(Totp))).await;
    world.people().await;
    let source =
        "has = ak_user_has_authenticator\nu = request.user\nreturn [has(u), has(u, 'totp'), has(u, device_type='duo')]";
    world.give(&[(source, json!([true, true, false]))]).await;
    let visitor = world.run_in("return ak_user_has_authenticator(request.user)", None, &http(), json!({})).await;
    assert_eq!(visitor.value(), json!(false));
}

#[tokio::test]
async fn only_confirmed_devices_that_are_kept_count() {
    let expressions = Expressions::new(pool(worker())).with_authenticators(Arc::new(KeptDevices));
    let world = World::with(expressions).await;
    world.people().await;
    let ada = world.account("ada").await;
    let mut unit = Unit::new(&world.site, Actor { user_id: Some(ada.id), ..Actor::system() });
    static_codes::create(&mut unit, ada.id, "Paper", &[]).await.unwrap();
    // Made over the API: nobody has shown that it works.
    let kind = world.site.registry.find(DeviceKind::Totp.model()).unwrap();
    unit.create(kind, json!({"name": "App"}).as_object().unwrap(), None).await.unwrap();
    unit.commit().await.unwrap();
    let source = "has = ak_user_has_authenticator\nu = request.user\n\
                  return [has(u), has(u, 'static'), has(u, 'totp'), has(u, 'fax'), has(ak_user_by(username='bob'))]";
    world.give(&[(source, json!([true, true, false, false, false]))]).await;
}
