/*
 * option.h
 *	  Whether the value of an option of an endpoint is one; each raises what is
 *	  wrong with it.
 */
#ifndef WF_EFFECT_OPTION_H
#define WF_EFFECT_OPTION_H

extern void wf_check_url(const char *name, const char *value);
extern void wf_check_lookup_path(const char *name, const char *value);
extern void wf_check_lookup_method(const char *name, const char *value);
extern void wf_check_pointer(const char *name, const char *value);
extern void wf_check_marker(const char *name, const char *value);
extern void wf_check_accepted(const char *name, const char *value);
extern void wf_check_on_unknown(const char *name, const char *value);
extern void wf_check_header_name(const char *name, const char *value);
extern void wf_check_key_header(const char *name, const char *value);

#endif							/* WF_EFFECT_OPTION_H */
