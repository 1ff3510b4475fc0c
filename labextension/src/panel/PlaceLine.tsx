import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import type { Queries } from '../api/backend';
import { useConnection } from '../api/context';
import type { PlaceDocument } from '../api/documents';
import { cutMiddle } from '../ui/format';

type Known = Queries['places']['result']['places'];

/** Where one is; a choice where several places are known and the page can change it. */
export function PlaceLine(props: {
  place: PlaceDocument | null;
  onPlace: ((id: string) => void) | undefined;
}): JSX.Element | null {
  const { place, onPlace } = props;
  const { backend } = useConnection();
  const [known, setKnown] = useState<Known>([]);
  const choice = onPlace !== undefined;
  useEffect(() => {
    if (!choice) {
      return undefined;
    }
    const aborted = new AbortController();
    backend.query('places', {}, aborted.signal).then(
      ({ places }) => {
        if (!aborted.signal.aborted) {
          setKnown(places);
        }
      },
      (thrown: unknown) => {
        // Without the list there is nothing to choose from; that the way is blocked the topics say.
        if (!aborted.signal.aborted) {
          console.warn('runctl: the places of this computer are not known', thrown);
        }
      }
    );
    return () => {
      aborted.abort();
    };
  }, [backend, choice]);

  if (place === null) {
    return <div className="rc-Place" aria-busy="true" />;
  }
  const here = known.find(
    each =>
      each.target === place.target &&
      each.region === place.region &&
      (each.bucket === null || place.bucket === null || each.bucket === place.bucket)
  );
  const chooses = choice && known.length > 1;
  const all = [place.region, place.identity].filter(word => word !== null);
  // The choice names the region.
  const words = chooses ? all.slice(-1) : all;
  return (
    <div className="rc-Place">
      {chooses ? (
        <select
          className="rc-Input"
          aria-label="Place"
          value={here?.id ?? ''}
          onChange={event => {
            onPlace(event.currentTarget.value);
          }}
        >
          {here === undefined && <option value="">{place.target}</option>}
          {known.map(each => (
            <option key={each.id} value={each.id}>
              {[each.target, each.region, each.bucket]
                .filter(word => word !== null)
                .map(word => cutMiddle(word, 24))
                .join(' · ')}
            </option>
          ))}
        </select>
      ) : (
        <strong>{place.target}</strong>
      )}
      <span
        className="rc-dim rc-cut"
        title={[...all, place.bucket].filter(word => word !== null).join(' · ')}
      >
        {words.join(' · ')}
      </span>
      {place.mode !== null && <span className="rc-dim rc-small rc-Place-mode">{place.mode}</span>}
    </div>
  );
}
