/*
 * image.c
 *	  Rows of workflow.item as they lie in memory.
 *
 * Most updates change a row's state and nothing else but what follows from that
 * in columns of a fixed length.  Then both rows differ in one place, and the new
 * one is stamped where it is, or copied from the old one: its columns need not be
 * taken apart and put together again one by one.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "item/item_internal.h"
#include "utils/timestamp.h"

/* The stored bytes of a row, around those that a move changes. */
typedef struct Image
{
	const char *start;			/* its columns */
	const char *state;
	char	   *since;
	char	   *seq;
	const char *tail;			/* the columns after these */
	const char *end;
} Image;

/*
 * Finds the parts of a row whose state begins there; false where there is no room
 * for them.
 */
static bool
find_from(HeapTuple tuple, Size state, Image *image)
{
	char	   *start = (char *) tuple->t_data + tuple->t_data->t_hoff;
	Size		offset;

	image->start = start;
	image->end = (char *) tuple->t_data + tuple->t_len;
	image->state = start + state;
	if (image->state >= image->end ||
		att_align_pointer(state, TYPALIGN_INT, -1, image->state) != state)
		return false;
	offset = state + VARSIZE_ANY(image->state);
	offset = att_align_nominal(offset, TYPALIGN_DOUBLE);
	image->since = start + offset;
	image->seq = image->since + sizeof(TimestampTz);
	image->tail = image->seq + sizeof(int32);

	return image->tail <= image->end;
}

/*
 * The same for a row in a slot; false where the slot holds it in another way.
 */
static bool
find(TupleTableSlot *slot, HeapTuple tuple, Image *image)
{
	const char *start = (char *) tuple->t_data + tuple->t_data->t_hoff;
	const char *state;

	slot_getallattrs(slot);
	if (slot->tts_isnull[WF_ITEM_COLUMN_STATE - 1] || slot->tts_isnull[WF_ITEM_COLUMN_SINCE - 1] ||
		slot->tts_isnull[WF_ITEM_COLUMN_SEQ - 1])
		return false;
	state = DatumGetPointer(slot->tts_values[WF_ITEM_COLUMN_STATE - 1]);

	return state >= start && find_from(tuple, state - start, image);
}

/*
 * Whether the rows have the same number of columns, and nulls in the same ones.
 */
static bool
are_alike(HeapTuple left, HeapTuple right)
{
	int			natts = HeapTupleHeaderGetNatts(left->t_data);

	return natts == HeapTupleHeaderGetNatts(right->t_data) &&
		left->t_data->t_hoff == right->t_data->t_hoff &&
		HeapTupleHasNulls(left) == HeapTupleHasNulls(right) &&
		(!HeapTupleHasNulls(left) ||
		 memcmp(left->t_data->t_bits, right->t_data->t_bits, BITMAPLEN(natts)) == 0);
}

static bool
same_bytes(const char *left, const char *left_end, const char *right, const char *right_end)
{
	return left_end - left == right_end - right && memcmp(left, right, left_end - left) == 0;
}

/*
 * Whether an update changes no other columns than state, since and seq; false
 * when that is not to be seen at a glance.  The columns before the state are the
 * same bytes, so it begins at the same place in both rows; those behind are aligned
 * alike, whatever the length of the states.
 */
bool
wf_item_is_only_moved(const TriggerData *trigger, WfItemBefore *before)
{
	HeapTuple	old_row = trigger->tg_trigtuple;
	Image		old;
	Image		new;

	if (!are_alike(old_row, trigger->tg_newtuple) ||
		!find(trigger->tg_newslot, trigger->tg_newtuple, &new) ||
		!find_from(old_row, new.state - new.start, &old) ||
		memcmp(old.start, new.start, new.state - new.start) != 0 ||
		!same_bytes(old.tail, old.end, new.tail, new.end))
		return false;
	before->state = PointerGetDatum(old.state);
	memcpy(&before->since, old.since, sizeof(before->since));
	memcpy(&before->seq, old.seq, sizeof(before->seq));

	return true;
}

/*
 * Whether the slot has a row to itself, which is the one that the trigger was
 * given.
 */
static bool
owns_row(TupleTableSlot *slot, HeapTuple row)
{
	return (TTS_IS_HEAPTUPLE(slot) || TTS_IS_BUFFERTUPLE(slot)) && TTS_SHOULDFREE(slot) &&
		((HeapTupleTableSlot *) slot)->tuple == row;
}

/*
 * Stamps the new row of a BEFORE trigger where it is; false, and has done
 * nothing, when that cannot be.
 */
bool
wf_item_stamp_in_place(const TriggerData *trigger, int seq, TimestampTz since)
{
	TupleTableSlot *slot = trigger->tg_newslot;
	Image		new;
	TimestampTz stored_since;
	int32		stored_seq;

	if (!owns_row(slot, trigger->tg_newtuple) || !find(slot, trigger->tg_newtuple, &new))
		return false;
	memcpy(&stored_since, new.since, sizeof(stored_since));
	memcpy(&stored_seq, new.seq, sizeof(stored_seq));
	if (stored_since != DatumGetTimestampTz(slot->tts_values[WF_ITEM_COLUMN_SINCE - 1]) ||
		stored_seq != DatumGetInt32(slot->tts_values[WF_ITEM_COLUMN_SEQ - 1]))
		return false;
	memcpy(new.since, &since, sizeof(since));
	memcpy(new.seq, &seq, sizeof(seq));
	slot->tts_values[WF_ITEM_COLUMN_SINCE - 1] = TimestampTzGetDatum(since);
	slot->tts_values[WF_ITEM_COLUMN_SEQ - 1] = Int32GetDatum(seq);

	return true;
}

/*
 * How long a text is with a header of one byte; 0 where it has to keep another one.
 */
static Size
short_size(Datum text)
{
	const char *bytes = DatumGetPointer(text);

	if (VARATT_IS_SHORT(bytes))
		return VARSIZE_SHORT(bytes);

	return VARATT_CAN_MAKE_SHORT(bytes) ? VARATT_CONVERTED_SHORT_SIZE(bytes) : 0;
}

static void
put_short(char *place, Datum text, Size size)
{
	SET_VARSIZE_SHORT(place, size);
	memcpy(place + VARHDRSZ_SHORT, VARDATA_ANY(DatumGetPointer(text)), size - VARHDRSZ_SHORT);
}

/*
 * The old row as it lies in memory, with the state, since and seq of the new one: what
 * is behind them moves by a multiple of what anything is aligned to.
 */
static HeapTuple
spliced(HeapTuple old_row, const Image *old, TupleTableSlot *new_row, Size state_size)
{
	Datum		state = new_row->tts_values[WF_ITEM_COLUMN_STATE - 1];
	TimestampTz since = DatumGetTimestampTz(new_row->tts_values[WF_ITEM_COLUMN_SINCE - 1]);
	int32		seq = DatumGetInt32(new_row->tts_values[WF_ITEM_COLUMN_SEQ - 1]);
	Size		before = old->state - (const char *) old_row->t_data;
	Size		since_at = att_align_nominal(before + state_size, TYPALIGN_DOUBLE);
	Size		rest = old->end - old->since;
	HeapTuple	tuple = MemoryContextAlloc(new_row->tts_mcxt, HEAPTUPLESIZE + since_at + rest);
	char	   *start = (char *) tuple + HEAPTUPLESIZE;

	tuple->t_len = since_at + rest;
	tuple->t_tableOid = InvalidOid;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_data = (HeapTupleHeader) start;
	memcpy(start, old_row->t_data, before);
	put_short(start + before, state, state_size);
	memset(start + before + state_size, 0, since_at - before - state_size);
	memcpy(start + since_at, old->since, rest);
	memcpy(start + since_at, &since, sizeof(since));
	memcpy(start + since_at + sizeof(since), &seq, sizeof(seq));

	return tuple;
}

/*
 * Gives a slot that was filled with the values of the old row, and another state,
 * since and seq, the row to store, as it would be put together from them.  Nothing is
 * done where that takes more than to copy the old one.
 */
void
wf_item_splice(TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	Size		state_size = short_size(new_row->tts_values[WF_ITEM_COLUMN_STATE - 1]);
	HeapTupleTableSlot *holder = (HeapTupleTableSlot *) new_row;
	HeapTuple	old_tuple;
	Image		old;

	if (state_size == 0 || !TTS_IS_BUFFERTUPLE(old_row) || !TTS_IS_BUFFERTUPLE(new_row) ||
		holder->tuple != NULL)
		return;
	old_tuple = ((HeapTupleTableSlot *) old_row)->tuple;
	if (old_tuple == NULL || !find(old_row, old_tuple, &old))
		return;
	holder->tuple = spliced(old_tuple, &old, new_row, state_size);
	new_row->tts_flags |= TTS_FLAG_SHOULDFREE;
}

/*
 * What such a slot says is read from its own row from now on, not from where it was
 * put together of: that may be gone when the statement has ended.
 */
void
wf_item_values_of_row(TupleTableSlot *row)
{
	row->tts_nvalid = 0;
	((HeapTupleTableSlot *) row)->off = 0;
}
