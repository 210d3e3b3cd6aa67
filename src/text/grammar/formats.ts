/** Formats of strings as regular expressions: each text is of the format, but not all texts of the format are among them. */

const HOUR = '(?:[01]\\d|2[0-3])';
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,20}[A-Za-z0-9])?';
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
/** Without the 29th of February, which exists in some years only. */
const DATE =
  '\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))';
const TIME = `${HOUR}:[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-]${HOUR}:[0-5]\\d)`;
const SPAN = 'T(?:\\d{1,4}H(?:\\d{1,4}M)?(?:\\d{1,4}S)?|\\d{1,4}M(?:\\d{1,4}S)?|\\d{1,4}S)';
const HEX = '[0-9a-fA-F]';

export const FORMATS: ReadonlyMap<string, string> = new Map([
  ['date', `^${DATE}$`],
  ['time', `^${TIME}$`],
  ['date-time', `^${DATE}T${TIME}$`],
  [
    'duration',
    `^P(?:\\d{1,4}W|(?:\\d{1,4}Y(?:\\d{1,4}M(?:\\d{1,4}D)?)?|\\d{1,4}M(?:\\d{1,4}D)?|\\d{1,4}D)(?:${SPAN})?|${SPAN})$`,
  ],
  ['uuid', `^${HEX}{8}-(?:${HEX}{4}-){3}${HEX}{12}$`],
  ['email', `^[A-Za-z0-9_+-]{1,24}(?:\\.[A-Za-z0-9_+-]{1,12}){0,2}@${LABEL}(?:\\.${LABEL}){0,2}\\.[A-Za-z]{2,8}$`],
  ['hostname', `^${LABEL}(?:\\.${LABEL}){0,4}$`],
  ['ipv4', `^${OCTET}(?:\\.${OCTET}){3}$`],
  ['ipv6', `^(?:${HEX}{1,4}:){7}${HEX}{1,4}$`],
]);
