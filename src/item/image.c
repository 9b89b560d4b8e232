/*
 * image.c
 *	  Rows of workflow.item as they lie in memory.
 *
 * Most updates change a row's state and nothing else but what follows from that
 * in columns of a fixed length.  Then both rows differ in one place, and the new
 * one is stamped where it is: its columns need not be taken apart and put
 * together again one by one.
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
 * Finds the parts of a row; false where its slot holds it in another way.
 */
static bool
find(TupleTableSlot *slot, HeapTuple tuple, Image *image)
{
	char	   *start = (char *) tuple->t_data + tuple->t_data->t_hoff;
	Size		offset;

	slot_getsomeattrs(slot, WF_ITEM_COLUMN_SEQ);
	image->start = start;
	image->end = (char *) tuple->t_data + tuple->t_len;
	image->state = DatumGetPointer(slot->tts_values[WF_ITEM_COLUMN_STATE - 1]);
	if (slot->tts_isnull[WF_ITEM_COLUMN_STATE - 1] || slot->tts_isnull[WF_ITEM_COLUMN_SINCE - 1] ||
		slot->tts_isnull[WF_ITEM_COLUMN_SEQ - 1] ||
		image->state < image->start || image->state >= image->end)
		return false;
	offset = image->state - start + VARSIZE_ANY(image->state);
	offset = att_align_nominal(offset, TYPALIGN_DOUBLE);
	image->since = start + offset;
	image->seq = image->since + sizeof(TimestampTz);
	image->tail = image->seq + sizeof(int32);

	return image->tail <= image->end;
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
 * when that is not to be seen at a glance.  What lies behind them is aligned
 * alike in both rows, whatever the length of the states.
 */
bool
wf_item_is_only_moved(const TriggerData *trigger)
{
	Image		old;
	Image		new;

	return are_alike(trigger->tg_trigtuple, trigger->tg_newtuple) &&
		find(trigger->tg_trigslot, trigger->tg_trigtuple, &old) &&
		find(trigger->tg_newslot, trigger->tg_newtuple, &new) &&
		same_bytes(old.start, old.state, new.start, new.state) &&
		same_bytes(old.tail, old.end, new.tail, new.end);
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
