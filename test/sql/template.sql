--
-- Template: how values of a document are taken from an item's data.
--
CREATE EXTENSION pg_workflow;

CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE statement INTO result;
  RETURN result;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

CREATE TABLE item (data jsonb);
INSERT INTO item VALUES ('{"id": "a/b c", "n": 12.50, "yes": true, "none": null, "empty": "", "dots": "..",
  "list": [1, 2], "one": [7], "o": {"x": "ü"}, "colon": "a:b\\c", "quote": "say \"hi\""}');

-- a body: a selector stands for the value it finds, and for null when it finds none
SELECT template, try(format('SELECT workflow._render(%L, data) FROM item', template)) AS rendered
FROM (VALUES
  ('"$.id"'), ('"$.n"'), ('"$.list"'), ('"$.nothing"'), ('"$.none"'), ('"$"'),
  ('"$.list[*]"'), ('"$.one[*]"'),
  ('{"a": "$.o.x", "b": ["$.n", {"c": "$.yes"}], "d": 1, "e": "text"}'),
  ('"\\$.id"'), ('"costs $5"'), ('"$5"'), ('"{\\$.id}"'),
  ('"id {$.id}, n {$.n}, list {$.list}, none {$.none}, {$.nothing}"'),
  ('"{$.quote}"'), ('"{$.id"'), ('"{not} {$ one}"'), ('"$.o ? (@.x == \"ü\").x"'),
  ('[]'), ('{}'), ('null'), ('true')
) AS t (template);

-- one value, or none
SELECT selector, try(format('SELECT workflow._select(%L, data) FROM item', selector)) AS found
FROM (VALUES ('$.n'), ('$.nothing'), ('$.list[*]'), ('literal'), ('n is {$.n}'), ('$.n +')) AS t (selector);

-- a path: values are percent-encoded; none may be missing, empty or lead elsewhere
SELECT template, try(format('SELECT workflow._render_path(%L, data) FROM item', template)) AS path
FROM (VALUES
  ('/accounts/{$.id}'), ('/a/{$.n}/{$.o.x}?q={$.quote}'), ('/a?q={$.empty}'), ('/a/{$.empty}'),
  ('/a/{$.dots}/x'), ('/a/.{$.one[0]}'), ('/a/{$.nothing}'), ('/a/{$.none}'), ('/a/{$.list[*]}'), ('/a/{$.list}')
) AS t (template);

-- a text needs its values too, but is not encoded
SELECT template, try(format('SELECT workflow._render_text(%L, data) FROM item', template)) AS text
FROM (VALUES ('{$.id}!'), ('$.n'), ('$.nothing'), ('\$.n')) AS t (template);

-- a key: parts are escaped, so that no other parts give the same key
SELECT parts, try(format('SELECT workflow._render_key(%L, data) FROM item', parts)) AS key
FROM (VALUES
  ('["$.id", "crm_update", "$.n"]'), ('["$.colon", "x"]'), ('["a", "b:c"]'), ('["a:b", "c"]'),
  ('"$.id"'), ('["{$.id}-{$.n}"]'), ('["$.nothing"]'), ('["$.none"]'), ('["$.list[*]"]'), ('["$.empty", "x"]')
) AS t (parts);

-- the key of an action: no value in it may be empty, for then it is the same for all
SELECT key, try(format('SELECT workflow._render_action_key(%L, data) FROM item', key)) AS rendered
FROM (VALUES
  ('["$.id", "crm_update", "$.n"]'), ('"order:{$.id}"'), ('"$.id"'), ('["$.empty", "x"]'), ('["x", "order {$.empty}"]'),
  ('"order:{$.empty}"'), ('"$.empty"'), ('"order:{$.nothing}"')
) AS t (key);
