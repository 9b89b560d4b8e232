/*
 * format.h
 *	  Messages that are put together.
 */
#ifndef WF_BASE_FORMAT_H
#define WF_BASE_FORMAT_H

/* Like psprintf(), with arguments that somebody else was given; they stay as they are. */
extern char *wf_format_va(const char *format, va_list args) pg_attribute_printf(1, 0);

#endif							/* WF_BASE_FORMAT_H */
