/*
 * policy.c
 *	  Reading retry policies.
 *
 * A policy is a jsonb object laid over a base policy: what it does not say is
 * as in the base.  Keys that are not known here are left to whoever validates
 * documents; wf_policy_check() refuses them.
 */
#include "postgres.h"

#include <math.h>

#include "base/clock.h"
#include "base/jsonb.h"
#include "fmgr.h"
#include "retry/policy.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

static const char *transient_classes[] = {
	"timeout", "connection", "rate_limited", "overloaded",
	"deadlock", "serialization", "unavailable",
};

static const char *const policy_keys[] = {
	"owner", "dead_letter", "max_attempts", "timeout", "backoff", "retry_on",
	"alert_after", NULL,
};

static const char *const backoff_keys[] = {
	"initial", "factor", "max", "jitter", NULL,
};

static void
refuse(const char *key, JsonbValue *value, const char *wanted)
{
	char	   *text = wf_jsonb_value_text(value);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" of a retry policy must be %s", key, wanted),
			 errdetail("It is %s.", text == NULL ? "null" : text),
			 errhint("An example of a policy is {\"max_attempts\": 5, \"backoff\": {\"initial\": \"1 second\", \"factor\": 2, \"max\": \"15 minutes\", \"jitter\": \"full\"}}.")));
}

static void
read_name(Jsonb *object, const char *key, const char **result)
{
	JsonbValue *value = wf_jsonb_get(object, key);

	if (value == NULL)
		return;
	if (value->type == jbvNull)
		*result = NULL;
	else if (value->type == jbvString && value->val.string.len > 0)
		*result = wf_jsonb_value_text(value);
	else
		refuse(key, value, "a name");
}

/*
 * Reads a whole number of at least "least".
 */
static void
read_count(Jsonb *object, const char *key, int least, int *result)
{
	JsonbValue *value = wf_jsonb_get(object, key);
	double		number;

	if (value == NULL)
		return;
	if (value->type != jbvNumeric)
		refuse(key, value, "a whole number");
	number = DatumGetFloat8(DirectFunctionCall1(numeric_float8,
												NumericGetDatum(value->val.numeric)));
	if (number < least || number > WF_POLICY_MAX_COUNT || number != rint(number))
		refuse(key, value, psprintf("a whole number from %d to %d", least, WF_POLICY_MAX_COUNT));
	*result = (int) number;
}

static void
read_duration(Jsonb *object, const char *key, int64 *result_us)
{
	JsonbValue *value = wf_jsonb_get(object, key);
	Datum		interval;

	if (value == NULL)
		return;
	if (value->type != jbvString)
		refuse(key, value, "an interval, as text");
	interval = DirectFunctionCall3(interval_in,
								   CStringGetDatum(wf_jsonb_value_text(value)),
								   ObjectIdGetDatum(InvalidOid),
								   Int32GetDatum(-1));
	*result_us = wf_interval_us(DatumGetIntervalP(interval));
	if (*result_us < 0)
		refuse(key, value, "an interval that is not negative");
}

static void
read_factor(Jsonb *backoff, double *result)
{
	JsonbValue *value = wf_jsonb_get(backoff, "factor");

	if (value == NULL)
		return;
	if (value->type != jbvNumeric)
		refuse("factor", value, "a number");
	*result = DatumGetFloat8(DirectFunctionCall1(numeric_float8,
												 NumericGetDatum(value->val.numeric)));
	if (*result < 1 || *result > WF_POLICY_MAX_FACTOR)
		refuse("factor", value, "a number from 1 to 1000");
}

static void
read_jitter(Jsonb *backoff, WfJitter *result)
{
	JsonbValue *value = wf_jsonb_get(backoff, "jitter");
	char	   *word = wf_jsonb_value_text(value);

	if (value == NULL)
		return;
	if (word != NULL && strcmp(word, "none") == 0)
		*result = WF_JITTER_NONE;
	else if (word != NULL && strcmp(word, "full") == 0)
		*result = WF_JITTER_FULL;
	else
		refuse("jitter", value, "\"full\" or \"none\"");
}

static void
read_backoff(Jsonb *object, WfRetryPolicy *policy)
{
	JsonbValue *value = wf_jsonb_get(object, "backoff");
	Jsonb	   *backoff;

	if (value == NULL)
		return;
	backoff = JsonbValueToJsonb(value);
	if (!wf_jsonb_is_object(backoff))
		refuse("backoff", value, "an object");
	read_duration(backoff, "initial", &policy->initial_us);
	read_factor(backoff, &policy->factor);
	read_duration(backoff, "max", &policy->max_us);
	read_jitter(backoff, &policy->jitter);
}

static void
read_retry_on(Jsonb *object, WfRetryPolicy *policy)
{
	JsonbValue *value = wf_jsonb_get(object, "retry_on");
	JsonbContainer *array;
	int			count;

	if (value == NULL)
		return;
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		refuse("retry_on", value, "an array of error classes");
	array = value->val.binary.data;
	count = JsonContainerSize(array);
	policy->retry_on = palloc(sizeof(char *) * Max(count, 1));
	policy->nretry_on = count;
	for (int i = 0; i < count; i++)
	{
		policy->retry_on[i] =
			wf_jsonb_value_text(getIthJsonbValueFromContainer(array, i));
		wf_require_error_class(policy->retry_on[i]);
	}
}

/*
 * Returns a new copy of the policy that holds where none is given.
 */
WfRetryPolicy *
wf_default_policy(void)
{
	WfRetryPolicy *policy = palloc0(sizeof(WfRetryPolicy));

	policy->max_attempts = 5;
	policy->timeout_us = 30 * USECS_PER_SEC;
	policy->initial_us = USECS_PER_SEC;
	policy->factor = 2;
	policy->max_us = 15 * USECS_PER_MINUTE;
	policy->jitter = WF_JITTER_FULL;
	policy->nretry_on = lengthof(transient_classes);
	policy->retry_on = transient_classes;

	return policy;
}

WfRetryPolicy *
wf_policy_from_jsonb(Jsonb *object, const WfRetryPolicy *base)
{
	WfRetryPolicy *policy = wf_default_policy();

	if (base != NULL)
		*policy = *base;
	if (object == NULL)
		return policy;
	if (!wf_jsonb_is_object(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a retry policy must be a JSON object"),
				 errdetail("It is %s.", wf_jsonb_to_cstring(object)),
				 errhint("{\"max_attempts\": 3} is the least example.")));

	read_name(object, "owner", &policy->owner);
	read_name(object, "dead_letter", &policy->dead_letter);
	read_count(object, "max_attempts", 1, &policy->max_attempts);
	read_duration(object, "timeout", &policy->timeout_us);
	read_backoff(object, policy);
	read_retry_on(object, policy);
	read_count(object, "alert_after", 0, &policy->alert_after);

	return policy;
}

static void
check_keys(JsonbContainer *object, const char *const *known, const char *where)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbValue	key;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		const char *const *name = known;

		if (token != WJB_KEY)
			continue;
		while (*name != NULL &&
			   (strlen(*name) != key.val.string.len ||
				strncmp(*name, key.val.string.val, key.val.string.len) != 0))
			name++;
		if (*name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown key \"%s\" in %s",
							wf_jsonb_value_text(&key), where),
					 errdetail("A policy has owner, dead_letter, max_attempts, timeout, retry_on, alert_after and backoff; a backoff has initial, factor, max and jitter."),
					 errhint("Remove the key or mend its spelling.")));
	}
}

/*
 * Raises invalid_parameter_value for anything that is wrong with a policy
 * object, unknown keys included.
 */
void
wf_policy_check(Jsonb *object)
{
	Jsonb	   *backoff;

	(void) wf_policy_from_jsonb(object, NULL);
	check_keys(&object->root, policy_keys, "a retry policy");
	backoff = wf_jsonb_get_jsonb(object, "backoff");
	if (backoff != NULL)
		check_keys(&backoff->root, backoff_keys, "the backoff of a retry policy");
}

PG_FUNCTION_INFO_V1(wf_retry_check_policy);

/*
 * workflow._check_retry_policy(policy jsonb) returns void
 */
Datum
wf_retry_check_policy(PG_FUNCTION_ARGS)
{
	wf_policy_check(PG_GETARG_JSONB_P(0));

	PG_RETURN_VOID();
}
