"""A SCIM server with django-scim2: `python scim_django.py <port> <folder>`. Keeps everything in a file of SQLite."""

import sys
import types
from pathlib import Path

import django
from django.conf import settings

TOKEN = "scim-token"


def configure(port, folder):
    settings.configure(
        DEBUG=False,
        SECRET_KEY="only-for-tests",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="directory_urls",
        APPEND_SLASH=False,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_scim", "directory"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(Path(folder) / "directory.sqlite3"),
                "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
            }
        },
        AUTH_USER_MODEL="directory.User",
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        MIDDLEWARE=["directory.middleware"],
        SCIM_SERVICE_PROVIDER={
            "NETLOC": f"127.0.0.1:{port}",
            "SCHEME": "http",
            "AUTHENTICATION_SCHEMES": [{"type": "oauthbearertoken", "name": "token", "description": "a token"}],
            "GROUP_MODEL": "directory.Group",
            "GET_IS_AUTHENTICATED_PREDICATE": "directory.is_known",
        },
    )


def application():
    """The models that django-scim2 asks for, as a package of their own."""
    package = types.ModuleType("directory")
    package.__path__, package.__file__ = [str(Path(__file__).parent)], __file__
    package.is_known = lambda user: True
    sys.modules["directory"] = package

    def middleware(get_response):
        from django.http import HttpResponse

        def answer(request):
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                return HttpResponse(status=401)
            request.user = None
            return get_response(request)

        return answer

    package.middleware = middleware
    models = types.ModuleType("directory.models")
    sys.modules["directory.models"] = models
    return package, models


def define(models):
    from django.contrib.auth.models import AbstractUser
    from django.db import models as db
    from django_scim.models import AbstractSCIMGroupMixin, AbstractSCIMUserMixin

    class Group(AbstractSCIMGroupMixin):
        name = db.CharField(max_length=150, unique=True)

        class Meta:
            app_label = "directory"

    class User(AbstractSCIMUserMixin, AbstractUser):
        scim_members = db.ManyToManyField(Group, related_name="user_set")

        @property
        def scim_groups(self):
            return self.scim_members

        class Meta:
            app_label = "directory"

    models.Group, models.User = Group, User


def main(port, folder):
    package, models = application()
    configure(port, folder)
    from django.apps import AppConfig, apps

    class Directory(AppConfig):
        name, label, path = "directory", "directory", str(Path(__file__).parent)

        def import_models(self):
            define(models)
            package.Group = models.Group
            self.models_module, self.models = models, apps.all_models["directory"]

    Directory.__module__ = "directory"
    package.Directory = Directory
    settings.INSTALLED_APPS[settings.INSTALLED_APPS.index("directory")] = "directory.Directory"
    django.setup()
    from django.core.management import call_command
    from django.urls import include, path

    urls = types.ModuleType("directory_urls")
    urls.urlpatterns = [path("scim/v2/", include("django_scim.urls", namespace="scim"))]
    sys.modules["directory_urls"] = urls
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("runserver", f"127.0.0.1:{port}", use_reloader=False, skip_checks=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
