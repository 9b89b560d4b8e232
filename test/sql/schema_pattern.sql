--
-- JSON Schema: patterns of JavaScript that the server would understand otherwise,
-- or not at all. What node says of each string stands beside.
--
CREATE EXTENSION pg_workflow;
CREATE FUNCTION verdict(pattern text, string text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  problem text;
BEGIN
  RETURN workflow.schema_valid(jsonb_build_object('pattern', pattern), to_jsonb(string));
EXCEPTION WHEN invalid_parameter_value THEN
  GET STACKED DIAGNOSTICS problem = PG_EXCEPTION_DETAIL;
  RETURN problem;
END
$$;
-- how wide a character is differs between versions of psql
\pset format unaligned

-- categories of Unicode, in and out of brackets, by each of their names
SELECT p.pattern, p.string, verdict(p.pattern, p.string) FROM (VALUES
  ('^\p{L}+$', 'Aéπж中'), ('^\p{L}+$', 'a1'), ('^\P{L}+$', '1 -'), ('^\P{L}+$', 'π'), ('^\p{Letter}$', 'π'), ('^\p{gc=Lu}$', 'É'),
  ('^\p{General_Category=Uppercase_Letter}$', 'é'), ('^\p{LC}$', 'ß'), ('^\p{LC}$', '中'), ('^\p{Nd}+$', '1٣'), ('^\p{digit}$', 'Ⅷ'),
  ('^\p{N}$', 'Ⅷ'), ('^[\p{L}\p{M}'' -]+$', 'Zoë O''Neil-Ng'), ('^[\p{L}\p{M}'' -]+$', 'R2'), ('^[^\p{P}]$', '!'), ('^[^\p{P}]$', '+'),
  ('^\p{Sc}$', '€'), ('^\p{So}$', U&'\+01F600'), ('^\p{ASCII}$', 'é'), ('^\P{ASCII}$', 'é'), ('^\p{Any}$', 'x'), ('^\p{Assigned}$', 'x'),
  ('^\p{Cn}$', U&'\+0E0080'), ('^\p{Zs}$', U&'\00a0')) AS p (pattern, string);

-- references, where the group has matched for sure
SELECT p.pattern, p.string, verdict(p.pattern, p.string) FROM (VALUES
  ('^(?<q>[''"]).*\k<q>$', '"x"'), ('^(?<q>[''"]).*\k<q>$', '"x'''), ('^(?:(a|b)\1)+$', 'aabb'), ('^(?:(a|b)\1)+$', 'aab'),
  ('^(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\10$', 'abcdefghijj'), ('^(a)\1' || '0$', 'aa0'),
  -- JavaScript would match nothing there, the server would not match
  ('^(a)?\1b$', 'b'), ('^(?:(a)|b)\1$', 'b'), ('^(?:(a)|b)*\1$', 'ab'), ('^\1(a)$', 'a'), ('^(a\1)$', 'a'), ('(a)\2', 'a'), ('^(?<a>x)\k<b>', 'x'),
  -- nor does the server count groups that look ahead
  ('^(?=.(b))(a)b\1$', 'aba'), ('^(?=(a))a\1', 'aa'), ('^(a)(?=\1)', 'aa')) AS p (pattern, string);

-- counts that the server does not have
SELECT p.pattern, length(p.string), verdict(p.pattern, p.string) FROM (VALUES
  ('^.{1,500}$', ''), ('^.{1,500}$', repeat('é', 500)), ('^.{1,500}$', repeat('é', 501)), ('^(?:ab){300}$', repeat('ab', 300)),
  ('^(?:ab){300}$', repeat('ab', 299)), ('^[a-z]{256,}?$', repeat('a', 255)), ('^[a-z]{256,}?$', repeat('a', 1000)), ('^a|b{510}$', repeat('b', 510)),
  ('^b{510}$', repeat('b', 509)), ('^\u{1F600}{257}$', repeat(U&'\+01F600', 257)), ('^(?<x>a|bc){0,511}$', repeat('bc', 511)),
  ('^(?<x>a|bc){0,511}$', repeat('bc', 512)), ('^a{5001}$', 'a'), ('^a{3,2}$', 'a'), ('^a{1', 'a'), ('^(a)\1{300}$', 'a')) AS p (pattern, string);

-- halves of a code point, a "-" beside a class, letters that only look special
SELECT p.pattern, p.string, verdict(p.pattern, p.string) FROM (VALUES
  ('^\ud83d\ude00$', U&'\+01F600'), ('^[\ud83d\ude00-\ud83d\ude4f]$', U&'\+01F601'), ('\ud83d', 'x'), ('\u{110000}', 'x'),
  ('^[\w-.]+$', 'a-.'), ('^[\w-z]$', '-'), ('^[\w-z]$', '`'), ('^[+-\d]$', '-'), ('^[+-\d]$', ','), ('^a{,2}$', 'a{,2}'), ('^{a}$', '{a}'), ('^\0$', 'x'),
  ('a|*', 'a'), ('(*a)', 'a'), ('^*', 'a'), ('(?=a)*', 'a'), ('a**', 'a'), ('a)', 'a'), ('\p', 'a'), ('\p{L', 'a'), ('\p{Greek}', 'a'),
  ('\P{Any}', 'a'), ('\07', 'a'), ('\Z', 'a'), ('\y', 'a'), ('(?<>a)', 'a')) AS p (pattern, string);

-- a "-" behind a range, or at an end of one, as well
SELECT p.pattern, p.string, verdict(p.pattern, p.string) FROM (VALUES
  ('^[a-z-9]$', '-'), ('^[a-z-9]$', '9'), ('^[a-z-9]$', '5'), ('^[a-z--/]$', '.'), ('^[a-z--/]$', '0'), ('^[+--]$', ','), ('^[+--]$', '.'), ('^[---]$', '-'),
  ('^[-a]$', '-'), ('^[a-]$', '-'), ('^[^a-z-]$', '-'), ('^[\w--/]$', '.'), ('^[\w--/]$', '/'), ('^[\]-a]$', '_'), ('^[a-\d-z]$', 'y'), ('^[a-\d-z]$', '-'),
  ('^[é-ü-]$', 'ö'), ('^[!-\-]$', '+'), ('^[\--0]$', '.'), ('^[[-a]$', '\'), ('^[z-a]$', 'b')) AS p (pattern, string);

-- what is too much for the engine is refused, in time that is bounded
SELECT verdict('((a{0,255}){0,255}){0,255}', 'a'), verdict('^(a+)(a+)(a+)\1\2\3b$', repeat('a', 200)), verdict('^(([a-z])+.)+[A-Z]([a-z])+$', repeat('a', 2000));
SELECT verdict(repeat('(', 20) || 'a' || repeat('{1,300})', 20) || 'b', 'a'), verdict(repeat('\p{L}', 1000), 'a'), verdict(repeat('\p{L}', 10), 'abcdefghij');
-- and known before the engine has tried: what may be left out, many times in a row
SELECT p.name, verdict(p.pattern, 'a') FROM (VALUES
  ('one large count', 'a{0,5000}'), ('several', '^a{1,5000}b{1,5000}c{1,5000}$'), ('of what may be left out', '^a{0,5000}a{0,5000}$'),
  ('a few letters', '^(?:a?b?c?d?){1,50}$'), ('many letters', '^(?:a?b?c?d?){1,200}$'), ('any number', '^(?:a*b*){1,1000}$'), ('either', '^(?:a|b?){1,255}$'),
  ('counts in counts', '^(?:a{0,100}){0,100}$'), ('sure letters between', '^(?:\S+\s?){1,500}$'), ('names of hosts', '^(?:[a-z]{1,63}\.){0,127}[a-z]{1,63}$'),
  ('looks', '^(?=a{1,2000})(?!b{1,2000})a'), ('written out', repeat('a?', 300)), ('deep', repeat('(', 100000)), ('deep enough', repeat('(', 900) || 'a' || repeat(')', 900))
  ) AS p (name, pattern);
SELECT count(*) AS patterns, max(seconds) < 5 AS in_time FROM (
  SELECT (SELECT extract(epoch FROM clock_timestamp() - began) FROM verdict(p.pattern, 'a')) AS seconds
  FROM unnest(ARRAY['^(?:a*b*){1,1000}$', '^(?:a?b?c?d?){1,199}$', '^(?:a{0,100}){0,99}$', repeat('(', 99999)]) AS p (pattern), clock_timestamp() AS began) AS t;
