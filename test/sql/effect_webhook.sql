--
-- Webhooks that are received: who signed, with which secret, and when.  What is
-- right is known from the providers' own examples, or computed by openssl.
--
CREATE EXTENSION pg_workflow;
\set VERBOSITY terse
\set SHOW_CONTEXT never
COPY (SELECT 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw') TO PROGRAM 'mkdir -p secrets && cat > secrets/standard';
COPY (SELECT 'It''s a Secret to Everybody') TO PROGRAM 'cat > secrets/github';
COPY (SELECT '8f742231b10e8888abcd99yyyzzz85a5') TO PROGRAM 'cat > secrets/slack';
COPY (VALUES ('whsec_new'), (''), ('whsec_old')) TO PROGRAM 'cat > secrets/stripe';
COPY (VALUES ('whsec_no base64!')) TO PROGRAM 'cat > secrets/broken';
COPY (VALUES (''), ('')) TO PROGRAM 'cat > secrets/blank';

-- the example of Standard Webhooks, at its time and within the tolerance of it, both ways
SET pg_workflow.clock = '2021-02-25 15:02:10+00';
PREPARE standard (jsonb, text, interval) AS SELECT workflow.verify_webhook('standard',
  '{"Webhook-ID": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
    "WEBHOOK-SIGNATURE": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}'::jsonb || $1, $2, 'standard', $3) AS ok;
EXECUTE standard ('{}', '{"test": 2432232314}', '5 minutes');
SELECT workflow.verify_webhook('standard', '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": 1614265330, "webhook-signature": ["v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="]}',
  '{"test": 2432232314}'::bytea, 'standard') AS ok;
SET pg_workflow.clock = '2021-02-25 15:07:10+00';
EXECUTE standard ('{}', '{"test": 2432232314}', '5 minutes');
SET pg_workflow.clock = '2021-02-25 15:07:11+00';
EXECUTE standard ('{}', '{"test": 2432232314}', '5 minutes');
EXECUTE standard ('{}', '{"test": 2432232314}', '1 hour');
SET pg_workflow.clock = '2021-02-25 14:57:10+00';
EXECUTE standard ('{}', '{"test": 2432232314}', '5 minutes');
SET pg_workflow.clock = '2021-02-25 14:57:09+00';
EXECUTE standard ('{}', '{"test": 2432232314}', '5 minutes');

-- anything else is not what was signed
SET pg_workflow.clock = '2021-02-25 15:02:10+00';
EXECUTE standard ('{}', '{"test": 2432232315}', '5 minutes');
EXECUTE standard ('{}', '{"test":2432232314}', '5 minutes');
EXECUTE standard ('{"Webhook-ID": "msg_p5jXN8AQM9LWM0D4loKWxJel"}', '{"test": 2432232314}', '5 minutes');
EXECUTE standard ('{"webhook-timestamp": "1614265331"}', '{"test": 2432232314}', '5 minutes');
EXECUTE standard ('{"webhook-id": "msg_other"}', '{"test": 2432232314}', '5 minutes');
EXECUTE standard ('{"WEBHOOK-SIGNATURE": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF="}', '{"test": 2432232314}', '5 minutes');
EXECUTE standard ('{"WEBHOOK-SIGNATURE": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', '5 minutes');
EXECUTE standard ('{"WEBHOOK-SIGNATURE": ""}', '{"test": 2432232314}', '5 minutes');
-- one right signature among several is enough
EXECUTE standard ('{"WEBHOOK-SIGNATURE": "v1a,x v1,xyz v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}',
  '{"test": 2432232314}', '5 minutes');
-- what is missing, or is no time
SELECT workflow.verify_webhook('standard', '{}', '', 'standard') AS ok;
SELECT workflow.verify_webhook('standard', '[]', '', 'standard') AS ok;
EXECUTE standard ('{"webhook-timestamp": null}', '{"test": 2432232314}', '5 minutes');
EXECUTE standard ('{"webhook-timestamp": "161426533O"}', '{"test": 2432232314}', '5 minutes');
EXECUTE standard ('{"webhook-timestamp": "-1614265330"}', '{"test": 2432232314}', '5 minutes');

-- an id with a dot could be shifted into the body
\set signature `printf 'msg.1614265330.1614265330.{}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:31f290f6bf0629 -binary | base64`
COPY (SELECT 'whsec_MfKQ9r8GKQ==') TO PROGRAM 'cat > secrets/short';
SELECT workflow.verify_webhook('standard', jsonb_build_object('webhook-id', 'msg', 'webhook-timestamp', '1614265330',
  'webhook-signature', 'v1,' || :'signature'), '1614265330.{}', 'short') AS as_signed;
SELECT workflow.verify_webhook('standard', jsonb_build_object('webhook-id', 'msg.1614265330', 'webhook-timestamp', '1614265330',
  'webhook-signature', 'v1,' || :'signature'), '{}', 'short') AS shifted;

-- the example of GitHub, which signs no time
SELECT workflow.verify_webhook('github', '{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}',
  'Hello, World!', 'github') AS ok;
SELECT workflow.verify_webhook('github', '{"X-Hub-Signature-256": "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"}',
  'Hello, World!', 'github') AS ok;
SELECT workflow.verify_webhook('github', '{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e18"}',
  'Hello, World!', 'github') AS ok;
SELECT workflow.verify_webhook('github', '{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e"}',
  'Hello, World!', 'github') AS ok;
SELECT workflow.verify_webhook('github', '{"X-Hub-Signature": "sha1=0"}', 'Hello, World!', 'github') AS ok;

-- the example of Slack
SET pg_workflow.clock = '2018-07-12 18:38:00+00';
\set body 'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c'
SELECT workflow.verify_webhook('slack', '{"X-Slack-Request-Timestamp": "1531420618",
  "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}', :'body', 'slack') AS ok;
SELECT workflow.verify_webhook('slack', '{"X-Slack-Request-Timestamp": "1531420618",
  "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}', :'body' || '&', 'slack') AS ok;
SELECT workflow.verify_webhook('slack', '{"X-Slack-Request-Timestamp": "1531420618",
  "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}', :'body', 'slack', '1 second') AS ok;

-- Stripe signs with the secret as it is written; either line of the file will do
\set by_new `printf '1531420618.{"id": "evt_1"}' | openssl dgst -sha256 -hmac whsec_new -r | cut -c1-64`
\set by_old `printf '1531420618.{"id": "evt_1"}' | openssl dgst -sha256 -hmac whsec_old -r | cut -c1-64`
\set by_both `printf '1531420618.{"id": "evt_1"}' | openssl dgst -sha256 -hmac "$(printf 'whsec_new\n\nwhsec_old')" -r | cut -c1-64`
PREPARE stripe (text) AS SELECT workflow.verify_webhook('stripe', jsonb_build_object('Stripe-Signature', $1), '{"id": "evt_1"}', 'stripe') AS ok;
EXECUTE stripe ('t=1531420618,v1=' || :'by_new' || ',v0=0');
EXECUTE stripe ('t=1531420618,v1=' || :'by_old');
EXECUTE stripe ('t=1531420618, v1=00, v1=' || :'by_old');
EXECUTE stripe ('t=1531420618,v1=' || :'by_both');
EXECUTE stripe ('t=1531420618,v0=' || :'by_new');
EXECUTE stripe ('t=1531420619,v1=' || :'by_new');
EXECUTE stripe ('v1=' || :'by_new');
EXECUTE stripe ('');

-- what cannot be judged is an error, not a "no"
\set VERBOSITY default
SELECT workflow.verify_webhook('md5', '{}', '', 'stripe');
SELECT workflow.verify_webhook('github', '{"x-hub-signature-256": "sha256="}', '', 'broken') AS any_text_is_a_secret_elsewhere;
SELECT workflow.verify_webhook('standard', '{"webhook-signature": "v1,"}', '', 'broken');
SELECT workflow.verify_webhook('standard', '{"webhook-signature": "v1,"}', '', 'blank');
SELECT workflow.verify_webhook('standard', '{"webhook-signature": "v1,"}', '', 'nowhere');
SELECT workflow.verify_webhook('standard', '{"webhook-signature": "v1,"}', '', '../PG_VERSION');
SELECT workflow.verify_webhook('standard', '{}', '', 'standard', '-1 second');
SELECT workflow.verify_webhook('standard', '{}', NULL::text, 'standard');

-- naming a secret is for administrators
CREATE ROLE webhook_app;
SELECT workflow.grant_role('webhook_app', 'submitter');
SET ROLE webhook_app;
SELECT workflow.verify_webhook('github', '{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}',
  'Hello, World!', 'github') AS ok;
RESET ROLE;
GRANT pg_read_server_files TO webhook_app;
SET ROLE webhook_app;
SELECT workflow.verify_webhook('github', '{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}',
  'Hello, World!', 'github') AS ok;
RESET ROLE;
DROP OWNED BY webhook_app;
DROP ROLE webhook_app;
