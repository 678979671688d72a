/** What the machine is asked about, in the order in which it is told. */
export type Area = 'kernel' | 'control groups' | 'security' | 'disk' | 'network' | 'programs' | 'limits' | 'neighbours' | 'time';

/** `ok`: works; `fallsBack`: Umiak works, with less, as `says` tells; `missing`: Umiak or its pods do not work without it. */
export type FindingState = 'ok' | 'fallsBack' | 'missing';

/** What one look at the machine says. */
export interface Finding {
  area: Area;
  about: string;
  state: FindingState;
  /** One sentence: what is there, or what happens without it. */
  says: string;
  /** What to do; present unless all is well, or nothing can be done. */
  remedy?: string;
}

/** Findings of one area, a call each. */
export function findingsOf(area: Area) {
  const finding = (state: FindingState) => (about: string, says: string, remedy?: string) => ({
    area,
    about,
    state,
    says,
    ...(remedy === undefined ? {} : { remedy }),
  });
  return {
    ok: (about: string, says: string): Finding => finding('ok')(about, says),
    fallsBack: (about: string, says: string, remedy?: string): Finding => finding('fallsBack')(about, says, remedy),
    missing: (about: string, says: string, remedy: string): Finding => finding('missing')(about, says, remedy),
  };
}
