SELECT
    (SELECT relname FROM pg_class WHERE oid = indrelid) AS place,
    pg_get_indexdef(indexrelid) AS text
FROM pg_index
WHERE indexrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
UNION ALL
SELECT tgrelid::regclass::text, pg_get_triggerdef(oid)
FROM pg_trigger
WHERE NOT tgisinternal
UNION ALL
SELECT proname::text, pg_get_functiondef(oid)
FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT table_name::text, concat_ws(' ', column_name, data_type, collation_name, is_nullable, column_default)
FROM information_schema.columns
WHERE table_schema = 'public'
UNION ALL
SELECT relname::text, pg_get_viewdef(oid)
FROM pg_class
WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'text search', cfgname::text
FROM pg_ts_config
WHERE cfgnamespace = 'public'::regnamespace
ORDER BY 1, 2
