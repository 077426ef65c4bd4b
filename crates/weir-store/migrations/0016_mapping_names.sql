-- Names of webhook mappings are unique among those of all mappings; a name that is taken stays where it was.
UPDATE object_unique SET model = 'authentik_core.propertymapping'
WHERE model = 'authentik_events.notificationwebhookmapping' AND key = 'name' AND value NOT IN (
    SELECT value FROM object_unique WHERE model = 'authentik_core.propertymapping' AND key = 'name'
);
